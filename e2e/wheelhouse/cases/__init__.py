"""All cases, in the order in which they run. None needs what another one did, but the wheelhouse that all have in common
is made by whichever comes first."""

from wheelhouse.cases.checked import checked
from wheelhouse.cases.extras import extras
from wheelhouse.cases.install import install
from wheelhouse.cases.make import make
from wheelhouse.cases.others import no_binary, pylock, requirements
from wheelhouse.cases.plan import plan
from wheelhouse.cases.resumed import again, broken, locked

CASES = [
    (function.__name__, function)
    for function in [plan, make, checked, install, again, broken, locked, extras, requirements, pylock, no_binary]
]
