"""certificate-expiry: a checker of Upkeep. It says for how many days certificates
are still valid, those of servers and those in files. certificates.py reads them."""

from concurrent import futures

from certificates import days_left, of_file, of_server
from upkeep_plugin import CRITICAL, HEALTHY, UNKNOWN, WARNING, metric, pb, serve

SEVERITY = {HEALTHY: 0, WARNING: 1, UNKNOWN: 2, CRITICAL: 3}


class Checker:
    # load: a restart of the hub renews no certificate, so that one that expires
    # is told and logged, and nothing is restarted.
    name = "certificate-expiry"  # equal to the name of the folder
    version = "0.1.0"
    check_name = "certificate_expiry"
    metrics = [{"name": "certificate_days_left", "unit": "d", "load": True, "help": "Days until the certificate expires: below warning_days a warning, below critical_days critical, negative once it has expired."}]
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "certificates": {
                "type": "array", "default": [], "items": {"type": "string", "pattern": "^(/.+|[^/]+:[0-9]+)$"},
                "description": "What to look at: HOST:PORT of a server that speaks TLS, or the path of a PEM file, which begins with /.",
            },
            "warning_days": {"type": "number", "minimum": 0, "default": 21, "description": "With fewer days left it is a warning."},
            "critical_days": {"type": "number", "minimum": 0, "default": 7, "description": "With fewer days left it is critical."},
        },
    }

    def check(self, request, config, call):
        """Looks at all of them side by side. One that cannot be read is unknown
        and hides none of the others; without any the check itself has failed."""
        if not config["certificates"]:
            raise ValueError("no certificates are configured: name servers or files in certificates")

        def look(where):
            try:
                read = of_file(where) if where.startswith("/") else of_server(where, call.remaining() - 0.1)
                days = days_left(read, request.now.ToDatetime())
            except (OSError, ValueError) as error:
                return metric("certificate_days_left", None, UNKNOWN, unit="d", load=True, message=str(error)[:200], labels={"certificate": where})
            status = CRITICAL if days < config["critical_days"] else WARNING if days < config["warning_days"] else HEALTHY
            return metric("certificate_days_left", days, status, unit="d", load=True, labels={"certificate": where})

        wanted = sorted(set(config["certificates"]))
        with futures.ThreadPoolExecutor(max_workers=min(8, len(wanted))) as pool:
            metrics = list(pool.map(look, wanted))
        worst = max((m.status for m in metrics), key=SEVERITY.get)
        said = [sentence(m) for m in metrics if m.status == worst and worst != HEALTHY]
        return pb.CheckResponse(status=worst, message="; ".join(said[:3]), metrics=metrics)


def sentence(m):
    where = m.labels["certificate"]
    if m.status == UNKNOWN:
        return "%s: %s" % (where, m.message)
    if m.number < 0:
        return "%s expired %.1f days ago" % (where, -m.number)
    return "%s expires in %.1f days" % (where, m.number)


if __name__ == "__main__":
    serve(Checker())
