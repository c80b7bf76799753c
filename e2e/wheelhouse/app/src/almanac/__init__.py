"""Says what a day has in store, with a little of every package that the app is there for."""

import importlib.metadata
import json
import platform
import sys

import ciso8601
import dateutil.relativedelta
import docopt
import flask
import geohash
import intervaltree
import lru
import markupsafe
import phases
import pydantic
import tides
import tomlkit
import ukkonen
import yaml

from almanac_units import metres

USAGE = """Usage: almanac [--place=LATITUDE,LONGITUDE] [DATE]

Options:
  --place=LATITUDE,LONGITUDE  where [default: 53.55,9.99]
"""


class Day(pydantic.BaseModel):
    """What is said of a day."""

    date: str
    place: str
    moon: str
    tide: str
    next_week: str
    season: str
    yesterday: int
    heading: str


def day(date, latitude, longitude):
    moment = ciso8601.parse_datetime(date)
    seasons = intervaltree.IntervalTree.from_tuples([(1, 3, "winter"), (3, 12, "the rest"), (12, 13, "winter")])
    known = lru.LRU(1)
    known["before"] = 0
    known[date] = moment.toordinal()
    with flask.Flask(__name__).app_context():
        heading = flask.render_template_string("<h1>{{ title }}</h1>", title=markupsafe.Markup("A day"))
    return Day(
        date=date,
        place=geohash.encode(latitude, longitude, 6),
        moon=phases.name(moment.toordinal()),
        tide=metres(tides.height(moment.hour)),
        next_week=(moment + dateutil.relativedelta.relativedelta(weeks=1)).date().isoformat(),
        season=min(seasons[moment.month]).data,
        yesterday=ukkonen.distance(date, known.keys()[0].replace("-12-", "-11-"), 9),
        heading=heading,
    )


def main(arguments=None):
    given = docopt.docopt(USAGE, argv=sys.argv[1:] if arguments is None else arguments)
    latitude, longitude = map(float, given["--place"].split(","))
    said = day(given["DATE"] or "2024-12-24T18:00:00", latitude, longitude)
    versions = {name: importlib.metadata.version(name) for name in ["almanac", "almanac-units", "phases", "tides"]}
    document = {"machine": platform.machine(), "markupsafe": importlib.metadata.version("markupsafe")}
    document |= {"day": yaml.safe_load(yaml.safe_dump(said.model_dump())), "versions": versions}
    document["toml"] = tomlkit.dumps({"date": said.date})
    json.dump(document, sys.stdout, indent=2, sort_keys=True)
    print()
