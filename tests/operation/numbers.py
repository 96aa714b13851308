"""Reading the numbers that Prometheus reads."""

from functools import lru_cache

from prometheus_client.parser import text_string_to_metric_families

from idp.operation.exposition import Exposition
from idp.web.services import Services

TOKEN = "a token for the scraper, long enough to be taken"


Numbers = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@lru_cache(10)  # tests ask for one number after the other of the same text, which takes long to read
def read(text: str) -> Numbers:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def number(text: str, name: str, **labels: str) -> float:
    return read(text).get((name, tuple(sorted(labels.items()))), 0.0)


def gauges(services: Services) -> dict[str, float]:
    return {name: value for (name, labels), value in read(Exposition(services).render().decode()).items() if not labels}
