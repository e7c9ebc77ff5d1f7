"""Run with: python3 -m unittest"""

import datetime
import pathlib
import shutil
import socket
import subprocess
import tempfile
import unittest

import certificates


def element(tag, content):
    size = len(content).to_bytes(2, "big")
    return bytes([tag, 0x82]) + size + content


def made(kind, text, version=True):
    """As much of a certificate as its end needs."""
    validity = element(0x30, element(0x17, b"200101000000Z") + element(kind, text))
    fields = (element(0xA0, b"\x02\x01\x02") if version else b"") + element(0x02, b"\x01") + element(0x30, b"") + element(0x30, b"") + validity
    return element(0x30, element(0x30, fields))


class Certificates(unittest.TestCase):
    def test_both_forms_of_time_are_read(self):
        for kind, text, year in ((0x17, b"490101000000Z", 2049), (0x17, b"500101000000Z", 1950), (0x18, b"20500101000000Z", 2050)):
            for version in (True, False):
                self.assertEqual(certificates.not_after(made(kind, text, version)), datetime.datetime(year, 1, 1))

    def test_what_is_no_certificate_is_said_to_be_none(self):
        whole = made(0x18, b"20500101000000Z")
        for length in range(len(whole)):
            with self.assertRaises(ValueError):
                certificates.not_after(whole[:length])
        for text in (b"", b"soon", b"20501301000000Z"):
            with self.assertRaises(ValueError):
                certificates.not_after(made(0x18, text))

    @unittest.skipUnless(shutil.which("openssl"), "there is no openssl here")
    def test_a_file_of_openssl_is_read(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "a.pem")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a", "-days", "30",
                            "-keyout", str(path) + ".key", "-out", str(path)], check=True, capture_output=True, timeout=60)
            said = subprocess.run(["openssl", "x509", "-enddate", "-noout", "-in", str(path)], check=True, capture_output=True, text=True, timeout=60).stdout
            end = datetime.datetime.strptime(said.strip(), "notAfter=%b %d %H:%M:%S %Y GMT")
            self.assertEqual(certificates.not_after(certificates.of_file(str(path))), end)
            path.write_text("nothing\n")
            with self.assertRaisesRegex(ValueError, "no certificate"):
                certificates.of_file(str(path))

    def test_days_are_counted_to_the_end(self):
        end = made(0x18, b"20500101000000Z")
        self.assertEqual(certificates.days_left(end, datetime.datetime(2049, 12, 30, 12)), 1.5)
        self.assertEqual(certificates.days_left(end, datetime.datetime(2050, 1, 2)), -1)

    def test_a_server_that_does_not_answer_costs_the_limit(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            with self.assertRaises(OSError):
                certificates.of_server("127.0.0.1:%d" % silent.getsockname()[1], 0.2)
        with self.assertRaises(OSError):
            certificates.of_server("127.0.0.1:1", 0)
        with self.assertRaisesRegex(ValueError, "no port"):
            certificates.of_server("127.0.0.1:65536", 1)


if __name__ == "__main__":
    unittest.main()
