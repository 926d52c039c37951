"""The settings that a script may have; the values here are replaced by those of a run."""

# Settings of the run.
SEED = 0  # of the weights, the order of the images, dropout and augmentation
BATCH_SIZE = 128
STEPS_PER_EPOCH = 10  # as many whole batches as the training images give
TOTAL_STEPS = 200
LEARNING_RATE = 1e-3  # the base, which the curve multiplies
THREADS: int | None = None  # of TensorFlow, for each operation
PRECISION = "float32"
IMAGE_SHAPE = (32, 32, 1)
NUM_CLASSES = 10
RUN_DIGEST = ""  # of the weights that the run ended with

# What decides which branches a script has.
DATASET = "digits"
DATA_DIR: str | None = None  # where TFDS keeps what it has prepared
IMAGE_KEY, LABEL_KEY = "", ""  # of an example, where TFDS does not choose them
PARTS = {"train": "train", "test": "test"}  # the official splits, by their names in TFDS
MARGIN = 0  # black pixels around the 8x8 image
RESIZED = False
CUT = "stratified"
TEST_SIZE: float = 0  # of the images that are not cut yet: a share, or a number
VALID_SIZE: float = 0
SPLIT_SEED = 0  # draws the splits; it is not SEED, so that runs with other seeds stay comparable
FRACTION: float | None = None  # of the training images that is kept
LIMIT: int | None = None  # on the images of each split
SAMPLING = "shuffled"
AUGMENTS = False
ALTERNATES = False
SOFT_LABELS = False  # whether the augmentation mixes images
HAS_VALID = True

NORMALISATION = "standardise"
HAS_BATCH_NORM = False
NESTS_MODELS = False
BATCH_NORM_MOMENTUM: float | str = "auto"
HEAD_GAIN: float = 1.0  # no ReLU follows the logits: with He's gain they would begin too large
HAS_OWN_HEAD_WEIGHTS = False
HAS_PRETRAINED = False
IS_FROZEN = False
CACHES_FEATURES = False

WARMUP_STEPS = 0  # in which the rate rises to the curve
PLATEAU_PATIENCE = 0  # epochs without a better loss before the rate falls
PLATEAU_FACTOR: float = 1  # of the rate, each time
PLATEAU_COOLDOWN = 0  # epochs to wait after the rate fell
PLATEAU_MIN_DELTA: float = 0
PLATEAU_MIN_RATE: float = 0  # the plateau lowers no rate below this
L1: float = 0  # in the loss: L1 * sum|w|
L2: float = 0  # in the loss: L2 * sum(w^2)
WEIGHT_DECAY: float = 0  # w -= rate * WEIGHT_DECAY * w
CLIP_VALUE: float | None = None
CLIP_NORM: float | None = None
GLOBAL_CLIP_NORM: float | None = None
LABEL_SMOOTHING: float = 0  # so much of each target is spread over all classes
FOCAL_GAMMA: float = 0
CHANGES_LOSS = False
HAS_PENALTY = False
ONE_LOGIT = False
EMA_DECAY: float = 0
MONITOR = "valid.accuracy"
STOP_PATIENCE = 0  # epochs without a better one before training stops
STOP_MIN_DELTA: float = 0
