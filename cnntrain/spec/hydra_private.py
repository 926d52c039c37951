"""The private functions of Hydra that we call. Look here if a new version of Hydra breaks them.

Written against hydra-core 1.3.8; pyproject.toml admits no 1.4. The public way would be
`initialize_config_dir` for our folder, and `hydra.searchpath` for the user's. The latter is an
override, in whose grammar a folder cannot have every name that a folder may have. `Singleton` has a
public `get_state`, which copies all of Hydra's plugins.
"""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.version import VersionBase

LOCK = threading.RLock()
PLUGIN_GROUPS = ("launcher", "sweeper")


@contextlib.contextmanager
def borrow_hydra() -> Iterator[None]:
    """Use Hydra, of which a process has one, in the block; then it is as it was before.

    Other threads wait. A notebook that has initialised Hydra for itself can go on with it.
    """
    ours = (GlobalHydra, HydraConfig, VersionBase)
    with LOCK:
        Plugins.instance()  # which register their options, once
        instances, options = Singleton._instances, ConfigStore.instance().repo["hydra"]
        theirs: dict[type, Singleton] = {
            kind: instances.pop(kind) for kind in ours if kind in instances
        }
        plugins = {group: dict(options.get(group, {})) for group in PLUGIN_GROUPS}
        try:
            yield
        finally:
            for kind in ours:
                instances.pop(kind, None)
            instances.update(theirs)
            for group in PLUGIN_GROUPS:
                options.get(group, {}).update(plugins[group])


def start_hydra(folder: Path, users_folder: Path | None) -> ConfigLoader:
    """Start Hydra anew on a folder of options, and return its configuration loader.

    Options in `users_folder`, if there is one, are found first.
    """
    places = create_config_search_path(str(folder))
    if users_folder is not None:
        where = f"file://{users_folder}"
        places.prepend("--config-dir", where, anchor="schema")  # which Hydra wants last
    GlobalHydra.instance().clear()
    version.setbase("1.3")
    Hydra.create_main_hydra2("cnntrain", places)
    # Plugins register options of the same names, which Hydra would read in place of ours.
    for group in PLUGIN_GROUPS:
        ConfigStore.instance().repo["hydra"].get(group, {}).clear()
    return GlobalHydra.instance().config_loader()
