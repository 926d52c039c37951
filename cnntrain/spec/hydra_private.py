"""The private functions of Hydra that we call. Look here if a new version of Hydra breaks them.

Written against hydra-core 1.3.8; pyproject.toml admits no 1.4. The public way would be
`initialize_config_dir` for our folder, and `hydra.searchpath` for the user's. The latter is an
override, in whose grammar a folder cannot have every name that a folder may have.
"""

from pathlib import Path

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra


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
    for group in ("launcher", "sweeper"):
        ConfigStore.instance().repo["hydra"].get(group, {}).clear()
    return GlobalHydra.instance().config_loader()
