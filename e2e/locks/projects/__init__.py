"""All projects, by what they are about."""

from locks.projects.choices import CHOICES
from locks.projects.extras import EXTRAS
from locks.projects.files import FILES
from locks.projects.forks import FORKS
from locks.projects.groups import GROUPS
from locks.projects.sources import SOURCES
from locks.projects.workspaces import WORKSPACES

PROJECTS = [*EXTRAS, *GROUPS, *FORKS, *SOURCES, *WORKSPACES, *FILES, *CHOICES]
