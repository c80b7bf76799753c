"""What a crosswheel that runs says of itself over HTTP. Does not know what it does."""

import re
import urllib.error
import urllib.request

# `crosswheel_calls_total{method="...",code="OK"} 17`, or without labels
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


class Monitored:
    """Whatever has an `http_port` on loopback."""

    @property
    def http_address(self):
        return f"http://127.0.0.1:{self.http_port}"

    def ready(self):
        return self.readiness()[0] == 200

    def readiness(self):
        """Status and text of /readyz; no status if nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.http_address}/readyz", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()
        except OSError as error:
            return None, str(error)

    def metrics(self):
        with urllib.request.urlopen(f"{self.http_address}/metrics", timeout=60) as answer:
            return answer.read().decode()

    def figure(self, name, **labels):
        """The sum of all samples of the metric `crosswheel_{name}` that have these labels."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        total = 0.0
        for found, its_labels, value in _SAMPLE.findall(self.metrics()):
            if found == f"crosswheel_{name}" and wanted <= set(its_labels.split(",")):
                total += float(value)
        return total
