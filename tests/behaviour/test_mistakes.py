"""A mistake is answered once: given, expected, try; exit code 2, and nothing is left behind."""

import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cnntrain.cli.main import main

# Options of a user's own, below mine/model/.
OPTIONS = {
    "right": "name: lenet5\nfilters: [2, 3]\nhidden: [5, 4]\n",
    "misnamed": "name: lenet6\nfilters: [2, 3]\nhidden: [5, 4]\n",
    "lacking": "name: lenet5\nfilters: [2, 3]\n",
    "excessive": "name: lenet5\nfilters: [2, 3]\nhidden: [5, 4]\nfilter: 5\n",
    "open_bracket": "name: lenet5\nfilters: [2, 3\nhidden: [5, 4]\n",
    "two_colons": "name: lenet5\nfilters: 2: 3\n",
    "empty": "",
    "listed": "- name\n- lenet5\n",
    "scalar": "lenet5\n",
    "undecided": "name: lenet5\nfilters: ???\nhidden: [5, 4]\n",
    "packaged": "# @package hydra.job\nname: lenet5\nfilters: [2, 3]\nhidden: [5, 4]\n",
    "twice": "name: lenet5\nfilters: [2, 3]\nfilters: [2, 3]\nhidden: [5, 4]\n",
    "deep": f"name: lenet5\nfilters: {'[' * 900}{']' * 900}\nhidden: [5, 4]\n",
    "keyless": "name: lenet5\nfilters: [2, 3]\nhidden: [5, 4]\n? \n: 3\n",
}
# Recipes of a user's own, below mine/experiment/, and a sweeper.
RECIPES = {
    "of_nothing": "# @package _global_\ndefaults:\n  - override /model: nosuch\n",
    "of_no_group": "# @package _global_\ndefaults:\n  - override /modle: vgg16\n",
    "of_itself": "# @package _global_\ndefaults:\n  - of_itself\n",
    "of_hydra": "# @package _global_\nhydra: {job: {chdir: true}}\n",
    "of_a_sweep": "# @package _global_\nsweep: {jobs: 3}\n",
    "listed": "# @package _global_\n- epochs\n",
}

# What is wrong: (the command, a part of what was given, of what is expected, what to try).
# None as the last: nothing in particular.
MISTAKES = {
    # names
    "option that does not exist": ("model=lenet", "model is lenet", "lenet5", "model=lenet5"),
    "option in capitals": ("model=VGG16", "model is VGG16", "vgg16", "model=vgg16"),
    "option left empty": ("model=", "model is", "cnntrain list model", None),
    "option that is null": ("model=null", "model is null", "cnntrain list model", None),
    "option that is a number": ("model=5", "model is 5", "cnntrain list model", None),
    "option that is a list": ("model=[lenet5,vgg16]", "model is [", "cnntrain list model", None),
    "option by its path": (
        "model=../model/lenet5 batch_size=5000",
        "model is ../model/lenet5",
        "lenet5_1998",
        "model=lenet5",
    ),
    "typo in a group": ("modle=lenet5", "modle is not", "model", "model=lenet5"),
    "group added twice": ("+model=vgg16", "model", "", "model=vgg16"),
    "typo in a setting": ("epoch=3", "epoch is not", "epochs", "epochs=3"),
    "typo in a knob": (
        "optimizer.learningrate=0.1",
        "optimizer.learningrate is not",
        "learning_rate",
        "optimizer.learning_rate=0.1",
    ),
    "typo in a record's field": (
        "schedule.plateau.patienc=3",
        "schedule.plateau.patienc is not",
        "patience",
        "schedule.plateau.patience=3",
    ),
    "knob without its group": (
        "learning_rate=0.1",
        "learning_rate is not",
        "",
        "optimizer.learning_rate=0.1",
    ),
    "added setting that does not exist": ("+epoch=3", "epoch is not", "epochs", "epochs=3"),
    "added knob that does not exist": (
        "+model.filter=3",
        "model.filter is not",
        "filters",
        "model.filters=3",
    ),
    "forced setting that does not exist": ("++epoch=3", "epoch is not", "epochs", "epochs=3"),
    "knob of another option": ("optimizer.momentum=0.9", "optimizer.momentum is not", "", None),
    "name changed under another's knobs": ("optimizer.name=sgd", "", "", "optimizer=sgd"),
    "component that does not exist": (
        "model.name=lenet6",
        "model.name=lenet6 would keep",
        "lenet5",
        "model=lenet5",
    ),
    "group taken out": ("~model", "model", "cnntrain list model", None),
    "setting taken out": ("~epochs", "epochs is", "a whole number from 1", None),
    "knob taken out": ("~model.filters", "model.filters is not given", "a list of 2", None),
    # values
    "negative count": ("epochs=-1", "epochs is -1", "a whole number from 1", None),
    "count of nothing": ("batch_size=0", "batch_size is 0", "a whole number from 1", None),
    "part for a whole number": ("epochs=2.5", "epochs is 2.5", "a whole number", None),
    "float for a whole number": ("epochs=2.0", "epochs is 2.0", "a whole number", None),
    "bool for a whole number": ("epochs=true", "epochs is true", "a whole number", None),
    "text for a whole number": ("epochs=ten", "epochs is ten", "a whole number", None),
    "nothing for a whole number": ("epochs=", "epochs is ''", "a whole number", None),
    "null for a whole number": ("epochs=null", "epochs is null", "a whole number", None),
    "seed below 0": ("seed=-1", "seed is -1", "from 0 to 2147483647", None),
    "rate that is nan": (
        "optimizer.learning_rate=nan",
        "optimizer.learning_rate is nan",
        "a number above 0",
        None,
    ),
    "rate that is infinite": (
        "optimizer.learning_rate=inf",
        "optimizer.learning_rate is inf",
        "a number above 0",
        None,
    ),
    "rate that is a text of digits": (
        "\"optimizer.learning_rate='0.1'\"",
        "'0.1'",
        "a number above 0",
        None,
    ),
    "momentum above 1": (
        "optimizer=sgd optimizer.momentum=2",
        "optimizer.momentum is 2",
        "a number from 0, below 1",
        None,
    ),
    "number for a bool": ("deterministic=1", "deterministic is 1", "true or false", None),
    "number for a text": ("data_dir=[5]", "data_dir is [5]", "a text", None),
    "list too short": ("model.filters=[6]", "model.filters is [6]", "a list of 2", None),
    "list too long": ("model.filters=[1,2,3]", "model.filters is [1, 2, 3]", "a list of 2", None),
    "number for a list": ("model.filters=6", "model.filters is 6", "a list of 2", None),
    "text in a list": ("model.filters=[6,x]", "model.filters[1] is x", "a whole number", None),
    "variant that does not exist": (
        "model=vgg16 model.variant=F",
        "model.variant is F",
        "one of A, A-LRN, B, C, D, E",
        None,
    ),
    "architecture that does not exist": (
        "model=mobilenet model.architecture=mobilnet",
        "model.architecture is mobilnet",
        "mobilenet_v2",
        "model.architecture=mobilenet",
    ),
    "part of a head that is neither width nor rate": (
        "model=mobilenet model.head=[256,1.5]",
        "model.head[1] is 1.5",
        "batch_norm",
        None,
    ),
    "monitor that does not exist": (
        "monitor=valid.acc",
        "monitor is valid.acc",
        "valid.loss",
        "monitor=valid.accuracy",
    ),
    "number for a record": ("schedule.plateau=5", "schedule.plateau is 5", "patience", None),
    "record's field out of range": (
        "schedule.plateau.factor=2",
        "schedule.plateau.factor is 2",
        "between 0 and 1",
        None,
    ),
    "duration without a number": (
        "schedule.warmup=five",
        "schedule.warmup is five",
        "5%",
        None,
    ),
    "share above 1": ("dataset.valid=1.5", "dataset.valid is 1.5", "between 0 and 1", None),
    "value that must be given": ("dataset=image_folder", "dataset.folder is not given", "", None),
    "value left open": ("epochs=???", "epochs is", "a whole number from 1", None),
    "interpolation of nothing": ("'epochs=${nope}'", "nope", "", None),
    "text for a list of components": (
        "augmentation=compose augmentation.ops=cutout",
        "augmentation.ops is cutout",
        "a list",
        None,
    ),
    "mapping for a list": (
        "augmentation=compose 'augmentation.ops={name: cutout}'",
        "augmentation.ops={name: cutout}",
        "a list",
        None,
    ),
    "list for a record": ("schedule.plateau=[1]", "schedule.plateau=[1]", "settings", None),
    # a component within another
    "bare name of a component": (
        "augmentation=compose augmentation.ops=[cutout]",
        "augmentation.ops[0] is cutout",
        "the name of an augmentation and its settings",
        "{name: cutout}",
    ),
    "component without a name": (
        "augmentation=compose 'augmentation.ops=[{size: 8}]'",
        "augmentation.ops[0].name is null",
        "flip_crop",
        None,
    ),
    "name that is a list": (
        "augmentation=compose 'augmentation.ops=[{name: [cutout]}]'",
        "augmentation.ops[0].name is ['cutout']",
        "flip_crop",
        "name: cutout",
    ),
    "typo in the name of a component": (
        "augmentation=compose 'augmentation.ops=[{name: flip_crop}, {name: cutuot}]'",
        "augmentation.ops[1].name is cutuot",
        "flip_crop",
        "name: cutout",
    ),
    "typo in its knob": (
        "augmentation=compose 'augmentation.ops=[{name: cutout, sise: 8}]'",
        "augmentation.ops[0].sise is not",
        "one of size, fill",
        "size: 8",
    ),
    "its knob out of range": (
        "augmentation=compose 'augmentation.ops=[{name: flip_crop}, {name: cutout, size: -3}]'",
        "augmentation.ops[1].size is -3",
        "a whole number from 1",
        None,
    ),
    "its knob that is no choice": (
        "augmentation=compose 'augmentation.ops=[{name: random_erasing, fill: noisy}]'",
        "augmentation.ops[0].fill is noisy",
        "one of constant, noise, color",
        "fill: noise",
    ),
    "its knob left open": (
        "augmentation=compose 'augmentation.ops=[{name: cutout, size: ???}]'",
        "augmentation.ops[0].size is not given",
        "a whole number from 1",
        "size: …",
    ),
    "knob of one within one within another": (
        "augmentation=compose 'augmentation.ops=[{name: compose, ops: [{name: mixup, alpha: 0}]}]'",
        "augmentation.ops[0].ops[0].alpha is 0",
        "a number above 0",
        None,
    ),
    "typo in its knob by its place": (
        "augmentation=compose augmentation.ops.1.sise=8",
        "augmentation.ops.1.sise is not",
        "augmentation.ops.1.size",
        "augmentation.ops.1.size=8",
    ),
    "its knob by its place where it is left out": (
        "augmentation=compose 'augmentation.ops=[{name: mixup}, {name: cutout}]' "
        "augmentation.ops.1.size=8",
        "augmentation.ops.1.size=8: it is not given yet",
        "+",
        "+augmentation.ops.1.size=8",
    ),
    "place that is not in the list": (
        "augmentation=compose augmentation.ops.9.size=8",
        "augmentation.ops.9.size is not",
        "",
        None,
    ),
    # contradictions
    "two kinds of clipping": (
        "optimizer.clip_value=1 optimizer.clip_norm=1",
        "optimizer.clip_value and optimizer.clip_norm are both set",
        "one of them",
        "optimizer.clip_norm=null",
    ),
    "nesterov without momentum": (
        "optimizer=sgd optimizer.nesterov=true optimizer.momentum=0",
        "optimizer.nesterov is true and optimizer.momentum is 0",
        "above 0",
        "optimizer.momentum=0.9",
    ),
    "factors without boundaries": (
        "schedule=resnet_step schedule.factors=[0.1]",
        "schedule.factors 1",
        "as many",
        None,
    ),
    "boundaries that fall": (
        "schedule=resnet_step schedule.after_epochs=[4,3,2,1]",
        "schedule.after_epochs is [4, 3, 2, 1]",
        "rising",
        None,
    ),
    "pieces of two sizes": (
        "accumulate=3",
        "accumulate is 3 and batch_size is 128",
        "pieces of one size",
        "accumulate=1",
    ),
    "no epochs for the second phase": (
        "finetune=two_phase epochs=5",
        "finetune.head_epochs is 5 and epochs is 5",
        "second phase",
        "epochs=10",
    ),
    "refit of a part of an epoch": (
        "refit=true max_steps=7",
        "refit is true and max_steps is 7",
        "whole epochs",
        None,
    ),
    "smoothing of everything": (
        "loss.label_smoothing=1",
        "loss.label_smoothing is 1",
        "below 1",
        None,
    ),
    "precision that does not exist": (
        "precision=float16",
        "precision is float16",
        "mixed_float16",
        None,
    ),
    "weights from nowhere": (
        "init_from=nowhere.keras",
        "init_from is nowhere.keras, which is no .keras or .h5 file",
        "the directory of a run",
        None,
    ),
    "odd and even photos": (
        "dataset=cifar10 dataset.label_map=odd_even",
        "cifar10",
        "digits",
        "dataset=mnist",
    ),
    # the command line
    "mistyped command": ("lits", "'lits'", "key=value", "cnntrain list"),
    "option without its group": ("vgg16 epochs=1", "'vgg16'", "key=value", "model=vgg16"),
    "setting without a value": ("epochs", "'epochs'", "key=value", None),
    "open bracket": ("epochs=[1", "epochs=[1", "key=value", None),
    "two equals signs": ("epochs==5", "epochs==5", "key=value", None),
    "spaces round the equals sign": ("'epochs = 5'", "epochs = 5", "key=value", None),
    "value without a key": ("=5", "=5", "key=value", None),
    "setting as a flag": ("--epochs=3", "--epochs=3", "key=value", "epochs=3"),
    "setting as a flag and a word": ("--epochs 3", "--epochs", "key=value", "epochs=VALUE"),
    "mistyped flag": ("--config-dri mine", "--config-dri", "", "--config-dir"),
    "flag without its value": ("--config-dir", "--config-dir", "", None),
    "wrong choice of a flag": ("--cfg all", "all", "", None),
    "refused settings are not shown": ("--cfg job epochs=0", "epochs is 0", "from 1", None),
    "folder of options that is not there": (
        "--config-dir nowhere model=mine",
        "nowhere",
        "a folder",
        None,
    ),
    "list of a group that does not exist": (
        "list models",
        "models is not a group",
        "model",
        "cnntrain list model",
    ),
    "list with a mistyped flag": ("list --jsn", "--jsn", "", "--json"),
    "list of a folder that is not there": ("list --config-dir nowhere", "nowhere", "folder", None),
    "directory of another run": ("hydra.run.dir=taken", "taken already holds a run", "own", None),
    "directory that is a file": ("hydra.run.dir=file", "file is a file", "directory", None),
    "directory below a file": ("hydra.run.dir=file/below", "file/below", "directory", None),
    "directory without a name": ("hydra.run.dir= batch_size=5000", "hydra.run.dir", "", None),
    # sweeps
    "several values without -m": (
        "model=vgg16,lenet5",
        "model=vgg16,lenet5 names several values",
        "-m",
        "cnntrain -m model=vgg16,lenet5",
    ),
    "list without brackets": (
        "distribution=multi_worker distribution.workers=a:1,b:1",
        "distribution.workers=a:1,b:1 has no brackets",
        "list",
        "'distribution.workers=[a:1,b:1]'",
    ),
    "knob of another sweeper": (
        "-m seed=1,2 hydra.sweeper.n_trials=3",
        "hydra.sweeper.n_trials is not a setting",
        "",
        "hydra/sweeper=optuna hydra.sweeper.n_trials=3",
    ),
    "mistyped knob of a launcher": (
        "-m seed=1,2 hydra/launcher=joblib hydra.launcher.n_job=3",
        "hydra.launcher.n_job is not a setting",
        "hydra.launcher.n_jobs",
        "hydra.launcher.n_jobs=3",
    ),
    "sweep with a bad job": ("-m seed=1,-2", "seed is -2", "from 0", None),
    "sweep over a bad option": ("-m model=vgg16,vgg17", "model is vgg17", "vgg19", None),
    "sweep with a bad setting": ("-m seed=1,2 epochs=0", "epochs is 0", "from 1", None),
    "sweep over a typo": ("-m modle=vgg16,vgg11", "modle is not", "model", None),
    "sweep over no option": ("-m 'model=glob(nothing*)'", "glob(nothing*)", "", None),
    "sweep over an empty range": ("-m 'seed=range(3,1)'", "range(3,1)", "", None),
    "sweep over a range without an end": ("-m 'seed=range(1,5,0)'", "no end", "a step", None),
    "sweep over an endless range of parts": (
        "-m 'optimizer.learning_rate=range(0.0,1.0,0.0)'",
        "no end",
        "a step",
        None,
    ),
    "sweep over a hundred million": ("-m 'seed=range(0,100000000)'", "more than 10,000", "", None),
    "sweep over a range of tiny steps": (
        "-m 'optimizer.learning_rate=range(0.0,1.0,1e-12)'",
        "more than 10,000",
        "",
        None,
    ),
    "sweep over a product of millions": (
        "-m 'seed=range(0,2000)' 'epochs=range(1,2001)'",
        "more than 10,000",
        "",
        None,
    ),
    "sweep over all of everything": (
        "-m 'model=glob(*)' 'optimizer=glob(*)' 'schedule=glob(*)' 'initializer=glob(*)'",
        "more than 10,000",
        "",
        None,
    ),
    "sweep into the directory of a run": (
        "-m seed=1,2 hydra.run.dir=r",
        "hydra.run.dir=r is for a run",
        "all jobs",
        "hydra.sweep.dir=r",
    ),
    "sweep of Hydra's verbosity": (
        "-m seed=1,2 hydra.verbose=true",
        "hydra.verbose=true",
        "",
        None,
    ),
    "sweep without settings": ("-m seed=1,2 ~sweep", "~sweep", "each by its name", None),
    "sweep whose settings are a number": ("-m seed=1,2 sweep=5", "sweep=5", "by its name", None),
    "name of a sweeper alone": (
        "-m seed=1,2 hydra.sweeper.name=optuna",
        "hydra.sweeper.name=optuna would keep another's knobs",
        "basic",
        "hydra/sweeper=optuna",
    ),
    "setting that no launcher has": (
        "-m seed=1,2 +hydra.launcher.slurm_account=me",
        "hydra.launcher.slurm_account is not a setting",
        "local has none",
        None,
    ),
    "as many jobs at once as there are people": (
        "-m seed=1,2 sweep.jobs=1000000",
        "sweep.jobs is 1000000",
        "from 1 to 1024",
        None,
    ),
    # what takes the machine
    "a million threads": ("threads=1000000", "threads is 1000000", "from 1 to 1024", None),
    "more threads than a number holds": ("threads=1099511627776", "threads is", "1024", None),
    "a million devices": (
        "distribution=mirrored distribution.logical_cpus=1000000",
        "distribution.logical_cpus is 1000000",
        "from 1 to 1024",
        None,
    ),
    "more layers than anybody waits for": (
        "model=cnn_depth model.depth=1000000",
        "model.depth is 1000000",
        "from 1 to 2000",
        None,
    ),
    "more epochs than a number holds": (f"epochs={10**18}", "epochs is", "to 2147483647", None),
    "more filters than a number holds": (f"model.filters=[{10**30},1]", "filters[0]", "to 2", None),
    "warm-up without an end": (f"'schedule.warmup={'9' * 400} steps'", "warmup", "steps", None),
    "brackets without an end": (f"model.filters={'[' * 3000}{']' * 3000}", "3000 deep", "30", None),
    "more digits than Python reads": (f"seed={'9' * 5000}", "cannot be read", "key=value", None),
    # settings of Hydra's own, which would do nothing
    **{
        f"Hydra's own {word}": (
            f"--cfg job {word}",
            word.strip("'"),
            "hydra.run.dir of a run",
            None,
        )
        for word in (
            "hydra.mode=MULTIRUN",
            "hydra.job.chdir=true",
            "hydra.verbose=true",
            "+hydra.x=1",
            "hydra=5",
            "~hydra",
            "~hydra.run.dir",
            "hydra.run=x",
            "hydra.output_subdir=x",
            "+hydra.job.env_set.X=1",
            "+hydra.callbacks.x._target_=os.system",
            "'hydra.searchpath=[pkg://os]'",
            "hydra/job_logging=stdout",
            "hydra/help=nosuch",
        )
    },
    "option of a package": ("model@x=vgg16", "names a package", "key=value", "model=vgg16"),
    "option of all packages": ("model@_global_=vgg16", "a package", "key=value", "model=vgg16"),
    "directory that is a list": ("hydra.run.dir=[a]", "hydra.run.dir=[a]", "a path", None),
    "directory that is null": ("hydra.run.dir=null", "hydra.run.dir=null", "a path", None),
    # the words of other programs
    "lr": ("lr=0.1", "lr is not", "model", "optimizer.learning_rate=0.1"),
    "wd": ("wd=0.1", "wd is not", "model", "optimizer.weight_decay=0.1"),
    "bs": ("bs=32", "bs is not", "batch_size", "batch_size=32"),
    "batch": ("batch=32", "batch is not", "batch_size", "batch_size=32"),
    "steps": ("steps=9", "steps is not", "max_steps", "max_steps=9"),
    "image_size": ("image_size=32", "image_size is not", "", "'dataset.image_size=[32,32]'"),
    "one number for two": (
        "dataset.image_size=32",
        "dataset.image_size is 32",
        "a list of 2",
        "'dataset.image_size=[32,32]'",
    ),
    "arch": ("arch=vgg16", "arch is not", "model", "model=vgg16"),
    "data": ("data=mnist", "data is not", "dataset", "dataset=mnist"),
    "momentum of Adam": (
        "momentum=0.9",
        "momentum is not",
        "",
        "optimizer=rmsprop optimizer.momentum=0.9",
    ),
    "option as a setting": ("mixup=true", "mixup is not", "", "augmentation=mixup"),
    "beginning of an option": (
        "model=resnet20",
        "model is resnet20",
        "resnet20_v1",
        "model=resnet20_v1",
    ),
    "data set of too many": ("dataset=mnist10", "dataset is mnist10", "mnist", "dataset=mnist"),
    "folder for a data set": (
        "dataset=./photos",
        "dataset is ./photos",
        "image_folder",
        "dataset=image_folder dataset.folder=./photos",
    ),
    "folder with an accent for a data set": (
        "dataset=/home/größe",
        "dataset is /home/größe",
        "image_folder",
        "dataset=image_folder 'dataset.folder=/home/größe'",
    ),
    "folder to verify": (
        "data verify ./photos",
        "./photos is no data set",
        "image_folder",
        "cnntrain data verify image_folder dataset.folder=./photos",
    ),
    "training by its name": ("train epochs=0", "epochs is 0", "from 1", None),
    "two folders in one": (
        "dataset=image_folder dataset.folder=a,b",
        "names several values",
        "-m",
        "'dataset.folder=\"a,b\"'",
    ),
    "planned weights from nowhere": ("plan init_from=nowhere", "is nowhere", "a run", None),
    # options of the user's own
    "own recipe of an option that is not there": (
        "--config-dir mine experiment=of_nothing",
        "of_nothing.yaml cannot be used",
        "options that exist",
        None,
    ),
    "own recipe of a group that is not there": (
        "--config-dir mine experiment=of_no_group",
        "of_no_group.yaml cannot be used",
        "options that exist",
        None,
    ),
    "own recipe of itself": (
        "--config-dir mine experiment=of_itself",
        "of_itself.yaml cannot be used",
        "options that exist",
        None,
    ),
    "own recipe with settings of Hydra's": (
        "--config-dir mine experiment=of_hydra",
        "of_hydra.yaml sets hydra",
        "what a run is",
        None,
    ),
    "own recipe with settings of a sweep": (
        "--config-dir mine experiment=of_a_sweep",
        "of_a_sweep.yaml sets sweep",
        "what a run is",
        None,
    ),
    "own recipe that is a list": ("--config-dir mine experiment=listed", "listed.yaml", "", None),
    "own sweeper": (
        "--config-dir mine -m seed=1,2 hydra/sweeper=mine",
        "hydra.sweeper.name is null",
        "basic",
        "hydra/sweeper=basic",
    ),
    "own option in another package": (
        "--config-dir mine model=packaged",
        "packaged.yaml begins with # @package",
        "recipe",
        None,
    ),
    "own option with a knob twice": ("--config-dir mine model=twice", "twice.yaml", "", None),
    "own option of itself": ("--config-dir odd model=recursive", "recursive.yaml", "", None),
    "own option of many brackets": ("--config-dir mine model=deep", "deep.yaml", "", None),
    "own option with a key that is none": (
        "--config-dir mine model=keyless",
        "keyless.yaml",
        "",
        None,
    ),
    "own option with an unknown name": (
        "--config-dir mine model=misnamed",
        "model.name is lenet6",
        "lenet5",
        "model.name=lenet5",
    ),
    "own option that is not there": (
        "--config-dir mine model=rihgt",
        "model is rihgt",
        "right",
        "model=right",
    ),
    "own option that lacks a knob": (
        "--config-dir mine model=lacking",
        "model.hidden is not given",
        "a list of 2",
        None,
    ),
    "own option with a knob too many": (
        "--config-dir mine model=excessive",
        "model.filter is not",
        "filters",
        None,
    ),
    "own option left open": (
        "--config-dir mine model=undecided",
        "model.filters is not given",
        "a list of 2",
        None,
    ),
    "own option with an open bracket": (
        "--config-dir mine model=open_bracket",
        "open_bracket.yaml",
        "",
        None,
    ),
    "own option with two colons": (
        "--config-dir mine model=two_colons",
        "two_colons.yaml",
        "",
        None,
    ),
    "own option that is empty": ("--config-dir mine model=empty", "", "name", None),
    "own option that is a list": ("--config-dir mine model=listed", "listed.yaml", "", None),
    "own option that is a word": ("--config-dir mine model=scalar", "scalar.yaml", "", None),
    "own option that is no text": ("--config-dir mine model=latin", "latin.yaml", "", None),
}

# Mistakes with one good remedy at most: what is suggested must be something that works.
SUGGESTIONS = [
    "epoch=3",
    "batch-size=32",
    "optimizer.momentum=0.9",
    "augmentation.flip=0.5",
    "model.learning_rate=0.1",
    "dataset.folder=photos",
    "+experiment=long",
    "model/filters=3",
    "defaults=[]",
    "~modle",
    "-x",
    "+model=vgg16",
    "optimizer.name=sgd",
    "lr=0.1",
    "wd=0.1",
    "bs=32",
    "batch=32",
    "dropout=0.5",
    "momentum=0.9",
    "steps=9",
    "image_size=32",
    "size=32x48",
    "dataset.image_size=32",
    "patience=3",
    "early_stop=3",
    "warmup=5%",
    "smoothing=0.1",
    "gpus=2",
    "gpu=0",
    "gpu=0,1",
    "device=cuda",
    "data=mnist",
    "data=./photos",
    "data=/home/me/My Photos",
    "folder=./photos",
    "dataset=./photos",
    "dataset=~/photos",
    "dataset='My Photos (2)/'",
    "arch=vgg16",
    "net=resnet",
    "network=mobilenetv2",
    "model=resnet20",
    "model=VGG",
    "dataset=mnist10",
    "dataset=cifar",
    "opt=Adam",
    "sched=cosin",
    "aug=flip",
    "mixup=0.2",
    "vgg16=true",
    "val=0.2",
    "out=runs/one",
    "init=he",
    "weights=imagenet",
    "model@x=vgg16",
]

# What only the data can show. {data} is the folder of the fixture `data`.
WITH_DATA = {
    # data that is not there
    "no data and no network": (
        "dataset=fashion_mnist data_dir={data}/nothing",
        "fashion_mnist is not in data_dir={data}/nothing",
        "train-images-idx3-ubyte.gz (26.4 MB)",
        "manual_dir=THAT_FOLDER",
    ),
    "folder of archives that is not there": (
        "dataset=mnist data_dir={data}/nothing manual_dir={data}/nowhere",
        "manual_dir",
        "train-images-idx3-ubyte.gz",
        None,
    ),
    "archive that is missing": (
        "dataset=mnist data_dir={data}/nothing manual_dir={data}/three_archives",
        "t10k-labels-idx1-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz (4.5 kB)",
        None,
    ),
    "archives with wrong contents": (
        "dataset=mnist data_dir={data}/nothing manual_dir={data}/wrong_archives",
        "checksum",
        "t10k-images-idx3-ubyte.gz (1.6 MB)",
        None,
    ),
    "folder that is not there": (
        "dataset=image_folder dataset.folder={data}/nowhere",
        "{data}/nowhere, which is not there",
        "a folder of images for each class",
        None,
    ),
    "folder without a name": (
        "dataset=image_folder dataset.folder=",
        "dataset.folder is ''",
        "a folder",
        None,
    ),
    "folder that is a file": (
        "dataset=image_folder dataset.folder={data}/file",
        "{data}/file, which is a file",
        "a folder of images for each class",
        None,
    ),
    "folder in data_dir that is a file": (
        "dataset=image_folder dataset.folder=notes data_dir={data}",
        "which is a file",
        "a folder of images for each class",
        None,
    ),
    # data that is not right
    "one class": (
        "dataset=image_folder dataset.folder={data}/one_class",
        "one_class has 1 class folder",
        "two or more",
        None,
    ),
    "no class": (
        "dataset=image_folder dataset.folder={data}/no_class",
        "no_class has 0 class folders",
        "two or more",
        None,
    ),
    "class without images": (
        "dataset=image_folder dataset.folder={data}/empty_class",
        "empty_class/emu has no files",
        "images of a class",
        None,
    ),
    "nothing but texts": (
        "dataset=image_folder dataset.folder={data}/texts",
        "none of the 1 files of cat in train is an image, for example cat/notes.txt (no image of a",
        "can be decoded",
        None,
    ),
    "class that only the test part has": (
        "dataset=image_folder dataset.folder={data}/more_in_test",
        "emu",
        "cat, dog",
        None,
    ),
    "class that the test part lacks": (
        "dataset=image_folder dataset.folder={data}/fewer_in_test",
        "fewer_in_test/test",
        "cat, dog",
        None,
    ),
    "too few images to split": (
        "dataset=image_folder dataset.folder={data}/one_each",
        "images",
        "at least one image of each class",
        None,
    ),
    "odd and even animals": (
        "dataset=image_folder dataset.folder={data}/animals dataset.label_map=odd_even "
        "dataset.valid=4 dataset.test=4",
        "the classes are cat, dog",
        "numbers",
        "dataset=digits or dataset=mnist",
    ),
    "images larger than the memory": (
        "dataset=image_folder dataset.folder={data}/animals dataset.image_size=[1000000,1000000]",
        "1000000x1000000",
        "memory",
        None,
    ),
    "images stretched beyond the memory": (
        "dataset.image_size=[1000000,1000000]",
        "1000000x1000000",
        "memory",
        None,
    ),
    # data that does not fit the run
    "images too small for VGG": (
        "dataset.image_size=[28,28] model=vgg16",
        "28x28",
        "32x32 or larger",
        "dataset.image_size=[32,32]",
    ),
    "images too small for LeNet": (
        "dataset.image_size=[8,8] model=lenet5",
        "8x8",
        "16x16 or larger",
        "dataset.image_size=[32,32]",
    ),
    "colour for the LeNet of 1998": (
        "dataset.channels=3 model=lenet5_1998",
        "32x32 images of 3 channels",
        "grey images of 28x28 or 32x32",
        "dataset.channels=1",
    ),
    "large and colourful for the LeNet of 1998": (
        "dataset.channels=3 dataset.image_size=[40,40] model=lenet5_1998",
        "40x40 images of 3 channels",
        "grey images of 28x28 or 32x32",
        "dataset.channels=1 dataset.image_size=[32,32]",
    ),
    "images too small for ResNet": (
        "dataset.image_size=[6,6] model=resnet20_v1",
        "6x6",
        "8x8 or larger",
        None,
    ),
    "square larger than the images": (
        "dataset.image_size=[8,8] model=cnn_mnist augmentation=cutout",
        "cutout is 16 and the images are 8x8",
        "at most 8",
        None,
    ),
    "images too small for the stages": (
        "dataset.image_size=[2,2] model=cnn_mnist",
        "2x2",
        "4x4 or larger",
        None,
    ),
    "depth that no ResNet has": (
        "model=resnet20_v1 model.depth=21",
        "model.depth is 21",
        "20, 26, 32",
        None,
    ),
    "images too small for Xception": (
        "dataset.image_size=[32,40] model=xception",
        "32x40",
        "71x71 or larger",
        "model.upsample=3 or dataset.image_size=[71,71]",
    ),
    "images still too small when enlarged": (
        "dataset.image_size=[8,8] model=mobilenet model.upsample=3",
        "8x8 images, 24x24 enlarged",
        "32x32 or larger",
        "model.upsample=4 or dataset.image_size=[32,32]",
    ),
    "width of a network that has one": (
        "dataset.image_size=[71,71] model=xception model.alpha=0.5",
        "model.alpha is 0.5 and model.architecture is xception",
        "1: only mobilenet and mobilenet_v2",
        "model.alpha=1",
    ),
    "width that nobody has trained": (
        "model=mobilenet model.upsample=2 model.weights=imagenet model.alpha=0.3",
        "model.alpha is 0.3",
        "one of 0.25, 0.5, 0.75, 1",
        "model.weights=null",
    ),
    # learnt weights
    "no weights and no network": (
        "model=mobilenet model.upsample=2 model.weights=imagenet weights_dir={data}/nothing",
        "mobilenet_1_0_224_tf_no_top.h5 is neither in weights_dir={data}/nothing nor in ",
        "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/",
        "weights_dir=FOLDER_WITH_THE_FILE, or model.weights=PATH, or model.weights=null",
    ),
    "weights that are not there": (
        "model=mobilenet model.upsample=2 model.weights=nowhere.h5",
        "model.weights is nowhere.h5, which is not there",
        "null, imagenet, or a file",
        "model.weights=/absolute/path/of/a/file.h5",
    ),
    "typo in the name of the weights": (
        "model=mobilenet model.upsample=2 model.weights=imagnet",
        "model.weights is imagnet",
        "null, imagenet, or a file",
        "model.weights=imagenet",
    ),
    "weights that are a text": (
        "model=mobilenet model.upsample=2 model.weights={data}/text.h5",
        "text.h5 does not hold the weights of mobilenet with alpha=1",
        "exactly this network",
        None,
    ),
    "weights that are cut short": (
        "model=mobilenet model.upsample=2 model.alpha=0.25 model.weights={data}/half.weights.h5",
        "truncated",
        "exactly this network",
        None,
    ),
    "weights under the name of the older format": (
        "model=mobilenet model.upsample=2 model.alpha=0.25 model.weights={data}/modern.h5",
        "does not hold the weights",
        "Keras 3 in a .weights.h5",
        None,
    ),
    "weights of another width": (
        "model=mobilenet model.upsample=2 model.alpha=0.5 model.weights={data}/modern.weights.h5",
        "conv1/kernel has the shape (3, 3, 3, 16), in the file (3, 3, 3, 8)",
        "exactly this network",
        None,
    ),
    "weights of another network": (
        "model=vgg16_imagenet model.upsample=2 model.weights={data}/modern.weights.h5",
        "modern.weights.h5 does not hold the weights of vgg16: ",
        "exactly this network",
        None,
    ),
    "more steps than an epoch has": (
        "steps_per_epoch=11",
        "steps_per_epoch is 11 and 1294 training images make 10 batches of 128",
        "from 1 to 10",
        None,
    ),
    "warm-up longer than the run": (
        "schedule.warmup=3 epochs=2",
        "schedule.warmup is 3",
        "within the run",
        "schedule.warmup=5%",
    ),
    "rate that falls every 0 steps": (
        "schedule=exponential schedule.every=0",
        "schedule.every is 0",
        "one step or more",
        "schedule.every=1",
    ),
    "period of less than half a step": (
        "schedule=inverse_time schedule.every=0.2%",
        "schedule.every is 0.2%: 0 steps of a run of 200",
        "one step or more",
        "schedule.every=1",
    ),
    "peak at the first step": (
        "schedule=triangular schedule.peak=0",
        "schedule.peak is 0",
        "after the first step",
        "schedule.peak=30%",
    ),
    "peak at the end of the run": (
        "schedule=one_cycle schedule.peak=2 epochs=2",
        "schedule.peak is 2",
        "before the end of the run",
        "schedule.peak=30%",
    ),
    "peak in a run of one step": (
        "schedule=one_cycle max_steps=1",
        "schedule.peak is 30%: step 0 of a run of 1",
        "before the end of the run",
        "a longer run",
    ),
    "limit below the number of classes": (
        "dataset.limit=5",
        "dataset.limit leaves 5 images",
        "each class",
        None,
    ),
    "split below the number of classes": (
        "dataset.valid=5",
        "5 of",
        "each class",
        None,
    ),
    "split larger than the data": ("dataset.valid=1790", "1790 of", "each class", None),
}


@dataclass
class Answer:
    given: str
    expected: str
    hint: str | None


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """The current directory: a user's options, a run, and a file."""
    monkeypatch.chdir(tmp_path)
    options = tmp_path / "mine" / "model"
    options.mkdir(parents=True)
    for name, text in OPTIONS.items():
        (options / f"{name}.yaml").write_text(text)
    for name, text in RECIPES.items():
        (tmp_path / "mine" / "experiment").mkdir(exist_ok=True)
        (tmp_path / "mine" / "experiment" / f"{name}.yaml").write_text(text)
    (tmp_path / "odd" / "model").mkdir(parents=True)
    recursive = "&a\nname: lenet5\nfilters: [2, 3]\nhidden: *a\n"
    (tmp_path / "odd" / "model" / "recursive.yaml").write_text(recursive)
    (tmp_path / "mine" / "hydra" / "sweeper").mkdir(parents=True)
    (tmp_path / "mine" / "hydra" / "sweeper" / "mine.yaml").write_text("_target_: os.system\n")
    (options / "latin.yaml").write_bytes("# für später\nname: lenet5\n".encode("latin-1"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "run.json").write_text("{}")
    (tmp_path / "file").write_text("not a folder")
    return tmp_path


@pytest.fixture
def refused(workplace, capsys):
    """Run a command line that must be refused: refused("epochs=0") -> Answer."""

    def run(command: str) -> Answer:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(command))
        streams = capsys.readouterr()
        assert ended.value.code == 2, streams.err
        assert "Traceback" not in streams.err
        return parsed(streams.err)

    return run


def parsed(text: str) -> Answer:
    """The three lines of an answer: given, expected, and maybe what to try."""
    assert text.count("Error: ") == 1, text
    given, expected, *rest = text[text.index("Error: ") :].splitlines()
    assert expected.startswith("  expected  "), text
    assert len(rest) < 2, text
    assert all(line.startswith("  try       ") for line in rest), text
    assert not re.search(r"\b(None|True|False)\b", text), "Python's words, not YAML's"
    return Answer(
        given.removeprefix("Error: "),
        expected.removeprefix("  expected  "),
        rest[0].removeprefix("  try       ") if rest else None,
    )


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_answered_before_anything_is_made(workplace, refused, mistake):
    command, given, expected, hint = mistake
    before = everything(workplace)
    answer = refused(command)
    assert given in answer.given
    assert expected in answer.expected
    assert answer.expected != "options and settings that fit together", "says nothing"
    assert hint is None or hint == answer.hint
    assert everything(workplace) == before


@pytest.mark.parametrize("command", SUGGESTIONS)
def test_suggestion_when_followed_is_accepted(refused, capsys, command):
    hint = refused(command).hint
    if hint is not None:
        shown(hint.removeprefix("cnntrain "), capsys)


def test_choice_of_a_flag_is_refused_like_all_else(refused):
    answer = refused("evaluate taken --split tes")
    assert answer == Answer("--split is tes", "one of test, valid, train", "--split test")
    assert refused("evaluate taken --nonsense").expected.endswith("cnntrain evaluate --help")


def test_word_without_a_key_is_not_taken_for_one(refused):
    answer = refused("plan dataset=image_folder dataset.folder=my photos")
    assert answer.given == "'photos' cannot be read"
    assert "'dataset.folder=\"my photos\"'" in answer.hint
    assert "photos=" not in answer.hint


def test_answer_fits_three_lines_of_a_terminal(refused):
    for command in ("model=xyz", "dataset=xyz", "nosuch=1", "dataset.nosuch=1", "lr=0.1"):
        assert len(f"  expected  {refused(command).expected}") <= 3 * 80
    assert refused("model=xyz").expected.endswith("… (87 in all): cnntrain list model")


@pytest.mark.parametrize("option", ["lacking", "undecided"])
def test_knob_that_an_option_lacks_can_be_given_as_suggested(refused, capsys, option):
    hint = refused(f"--config-dir mine model={option}").hint
    assert hint.endswith("=…")
    given = hint.replace("…", "[8,9]")
    assert [8, 9] in shown(f"--config-dir mine model={option} {given}", capsys)["model"].values()


def shown(command: str, capsys) -> dict:
    """The settings that `--cfg job` shows for a command line, which must be right."""
    with pytest.raises(SystemExit) as ended:
        main(["--cfg", "job", *shlex.split(command)])
    streams = capsys.readouterr()
    assert ended.value.code == 0, streams.err
    return yaml.safe_load(streams.out)


def test_settings_of_a_sweep_are_not_trained_when_they_should_be_shown(workplace):
    words = "-m seed=1,2 --cfg job dataset=image_folder dataset.folder=nowhere"
    before = everything(workplace)
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(words))
    assert ended.value.code in (0, 2)
    assert everything(workplace) == before


def test_list_helps_when_asked(workplace, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["list", "--help"])
    assert ended.value.code == 0
    assert "cnntrain list" in capsys.readouterr().out


def test_option_that_is_no_text_does_not_hide_the_others_from_list(workplace, capsys):
    with pytest.raises(SystemExit):
        main(["list", "model", "--config-dir", "mine"])
    assert "right" in "".join(capsys.readouterr())


# With data: TensorFlow is loaded, once for all of these.


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Folders of tiny images with something wrong in each, and wrong archives."""
    root = tmp_path_factory.mktemp("data")
    for name in ("file", "notes"):
        (root / name).write_text("not a folder")
    (root / "nothing").mkdir()
    images(root / "animals", "cat", "dog")
    images(root / "one_class", "cat")
    images(root / "no_class")
    images(root / "empty_class", "cat", "dog")
    (root / "empty_class" / "emu").mkdir()
    images(root / "one_each", "cat", "dog", count=1)
    for part, names in {"train": ("cat", "dog"), "test": ("cat", "dog", "emu")}.items():
        images(root / "more_in_test" / part, *names)
    for part, names in {"train": ("cat", "dog"), "test": ("cat",)}.items():
        images(root / "fewer_in_test" / part, *names)
    for name in ("cat", "dog"):
        (root / "texts" / name).mkdir(parents=True)
        (root / "texts" / name / "notes.txt").write_text("not an image")
    parts = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in KINDS]
    weights(root / "modern.weights.h5")
    whole = (root / "modern.weights.h5").read_bytes()
    (root / "modern.h5").write_bytes(whole)
    (root / "half.weights.h5").write_bytes(whole[: len(whole) // 2])
    (root / "text.h5").write_text("no weights")
    for folder, names in {"wrong_archives": parts, "three_archives": parts[:3]}.items():
        (root / folder).mkdir()
        for name in names:
            (root / folder / name).write_bytes(b"not an archive")
    return root


KINDS = ("images-idx3", "labels-idx1")


def weights(file: Path) -> None:
    """Write the random weights of a MobileNet with alpha=0.25 in the format of Keras 3."""
    import keras

    shape = (32, 32, 3)
    network = keras.applications.MobileNet(shape, 0.25, include_top=False, weights=None)
    network.save_weights(file)


def images(folder: Path, *class_names: str, count: int = 10) -> None:
    """Write `count` images of noise for each class."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in class_names:
        (folder / name).mkdir()
        for number in range(count):
            pixels = random.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Send every request to a port of this machine where nobody listens; nothing is cached."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for scheme in ("http", "https", "all"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv(f"{scheme}_proxy".upper(), "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("mistake", WITH_DATA.values(), ids=WITH_DATA)
@pytest.mark.usefixtures("no_network")
def test_mistake_that_the_data_shows_is_answered_and_leaves_no_run(
    workplace, refused, data, mistake
):
    command, given, expected, hint = (text and text.format(data=data) for text in mistake)
    answer = refused(command)
    assert given in answer.given
    assert expected in answer.expected
    assert hint is None or hint == answer.hint
    assert runs_in(workplace) == []


def runs_in(workplace: Path) -> list[Path]:
    """The directories of runs, whole or half-made, that were not there before."""
    outputs = list((workplace / "outputs").glob("*"))
    return outputs + [path for path in workplace.rglob("run.json") if path.parent.name != "taken"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_that_may_not_be_read_is_answered(workplace, refused):
    images(workplace / "animals", "cat", "dog")
    (workplace / "animals" / "cat").chmod(0)
    try:
        answer = refused("dataset=image_folder dataset.folder=animals")
    finally:
        (workplace / "animals" / "cat").chmod(0o755)
    assert "animals/cat cannot be read" in answer.given
    assert runs_in(workplace) == []


def test_refused_run_leaves_the_files_of_an_existing_folder_alone(workplace, refused):
    precious = [workplace / "thesis" / name for name in ("spec.yaml", "train.log", "notes.txt")]
    precious[0].parent.mkdir()
    for file in precious:
        file.write_text("years of work")
    refused("hydra.run.dir=thesis steps_per_epoch=5000")
    assert [file.read_text() for file in precious if file.exists()] == ["years of work"] * 3


def test_refused_run_leaves_no_directory_above_its_own(workplace, refused):
    refused("hydra.run.dir=new/deeper/run steps_per_epoch=5000")
    assert not (workplace / "new").exists()


# The real command line.


def test_refusal_goes_to_standard_error_with_exit_code_2_at_once(command, tmp_path):
    began = time.perf_counter()
    done = command("epochs=0")
    seconds = time.perf_counter() - began
    assert (done.returncode, done.stdout) == (2, "")
    assert parsed(done.stderr) == Answer("epochs is 0", "a whole number from 1 to 2147483647", None)
    assert everything(tmp_path) == set()
    assert seconds < 5, "under 2 s where nothing else runs"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--help", 0),
        ("--version", 0),
        ("list", 0),
        ("list --json", 0),
        ("--cfg job", 0),
        ("model=lenet", 2),
        ("+banana=1", 2),
        ("model=vgg16 model.dropout=2", 2),
        ("optimizer.clip_value=1 optimizer.clip_norm=1", 2),
        ("-m seed=1,-1", 2),
    ],
)
def test_answer_that_needs_no_data_loads_no_tensorflow(words, code, tmp_path):
    program = (
        "import sys\n"
        "from cnntrain.cli.main import main\n"
        "try:\n"
        f"    main({shlex.split(words)!r})\n"
        "except SystemExit as ended:\n"
        "    loaded = {'tensorflow', 'keras'} & set(sys.modules)\n"
        "    sys.exit(f'loaded {loaded}' if loaded else ended.code)\n"
    )
    line = [sys.executable, "-c", program]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert everything(tmp_path) == set()
