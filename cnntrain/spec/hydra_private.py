"""The private functions of Hydra that we call. Look here if a new version of Hydra breaks them.

Written against hydra-core 1.3.8; pyproject.toml admits no 1.4. The public way would be
`initialize_config_dir` for our folder, and `hydra.searchpath` for the user's. The latter is an
override, in whose grammar a folder cannot have every name that a folder may have. `Singleton` has a
public `get_state`, which copies all of Hydra's plugins.
"""

import contextlib
import copy
import threading
from collections.abc import Iterator
from pathlib import Path

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.plugins.config_source import ConfigResult
from hydra.version import VersionBase

LOCK = threading.RLock()
LOADED: dict[tuple[str | int, ...], ConfigResult | None] = {}  # what RememberingRepository has read
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
    loader = GlobalHydra.instance().config_loader()
    assert isinstance(loader, ConfigLoaderImpl)
    loader.repository = RememberingRepository(loader.config_search_path)
    return loader


class RememberingRepository(ConfigRepository):
    """Reads the file of an option once, until it changes, and those of Hydra itself once.

    A sweep composes a configuration for each of its jobs.
    """

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Return what Hydra reads of an option, such as `model/vgg16`; None if it is not there."""
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None or source.scheme() not in ("file", "pkg"):
            return super().load_config(config_path)
        key: tuple[str | int, ...] = (source.scheme(), source.path, config_path)
        if source.scheme() == "file":
            folder = source.path.removeprefix("file://")
            file = Path(folder, source._normalize_file_name(config_path)).stat()
            key += (file.st_ino, file.st_mtime_ns, file.st_size)
        if key not in LOADED:
            LOADED[key] = super().load_config(config_path)
        return copy.deepcopy(LOADED[key])  # what it returns is merged into, and so changed
