"""Reads until when certificates are valid, with Python's own library alone."""

import datetime
import socket
import ssl
import time


def of_server(where, limit):
    """The certificate that the server at HOST:PORT shows, within limit seconds.
    It is not verified: one that has expired is to be read, too."""
    host, port = where.rsplit(":", 1)
    host = host.strip("[]")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    end = time.monotonic() + limit
    if not 0 < int(port) < 65536:
        raise ValueError("%s is no port" % port)
    if limit <= 0:
        raise TimeoutError("there was no time left to look")
    with socket.create_connection((host, int(port)), timeout=limit) as connection:
        connection.settimeout(max(0.01, end - time.monotonic()))
        with context.wrap_socket(connection, server_hostname=host) as secure:
            return secure.getpeercert(binary_form=True)


def of_file(path):
    """The first certificate of a PEM file."""
    with open(path, encoding="ascii", errors="replace") as file:
        text = file.read(1 << 20)
    begin, end = text.find(ssl.PEM_HEADER), text.find(ssl.PEM_FOOTER)
    if begin < 0 or end < begin:
        raise ValueError("there is no certificate in the file")
    return ssl.PEM_cert_to_DER_cert(text[begin:end] + ssl.PEM_FOOTER)


def days_left(certificate, now):
    """Days between now, in UTC without a zone, and the end of the certificate."""
    return (not_after(certificate) - now).total_seconds() / 86400


UTC_TIME, GENERALIZED_TIME, VERSION = 0x17, 0x18, 0xA0


def not_after(certificate):
    """The end of a certificate's validity in UTC. RFC 5280, 4.1: a certificate is
    a sequence that begins with a sequence of version (which may be missing),
    serial number, algorithm, issuer, and validity, which is two times."""
    _, whole, _ = _element(certificate)
    _, fields, _ = _element(whole)
    kind, _, rest = _element(fields)
    if kind == VERSION:
        _, _, rest = _element(rest)
    for _ in ("algorithm", "issuer"):
        _, _, rest = _element(rest)
    _, validity, _ = _element(rest)
    _, _, rest = _element(validity)
    kind, text, _ = _element(rest)
    try:
        if kind == GENERALIZED_TIME:
            return datetime.datetime.strptime(text.decode("ascii"), "%Y%m%d%H%M%SZ")
        if kind == UTC_TIME:  # its year has two digits: from 1950 to 2049
            century = "19" if int(text[:2]) >= 50 else "20"
            return datetime.datetime.strptime(century + text.decode("ascii"), "%Y%m%d%H%M%SZ")
    except ValueError:
        pass
    raise ValueError("the certificate has no end that can be read")


def _element(data):
    """Splits off the first element of DER: its tag, its content, and what follows."""
    if len(data) < 2:
        raise ValueError("the certificate is cut off")
    length, at = data[1], 2
    if length >= 0x80:
        size = length & 0x7F
        length, at = int.from_bytes(data[2:2 + size], "big"), 2 + size
        if size == 0 or size > 4:
            raise ValueError("the certificate is no DER")
    if len(data) < at + length:
        raise ValueError("the certificate is cut off")
    return data[0], data[at:at + length], data[at + length:]
