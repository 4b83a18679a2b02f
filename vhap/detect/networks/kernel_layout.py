"""What a step of a network's program consists of, and what every step of `kernels.py` begins and ends with."""

from __future__ import annotations

import enum

LANES = 16
"""Floats of a vector: channels come in multiples of it."""


class Step(enum.IntEnum):
    CONVOLUTION = 0
    DEPTHWISE = 1
    MAX_POOL = 2
    BORDER = 3
    SUM = 4
    CROP_MATRIX = 5
    CROP = 6
    MOVE_POINTS = 7
    RESIZE = 8
    MEAN = 9
    SCALE = 10
    LOGISTIC = 11
    SPREAD = 12


class Field(enum.IntEnum):
    """What a step's numbers mean. SOURCE, REST, TARGET: where tensors begin in the picture's floats (REST: what is
    added, -1 for nothing; of CROP the matrix). WEIGHT, BIAS, SLOPE: where constants begin; SLOPE multiplies what is
    negative. ROWS to CHANNELS: of the target, with REST_CHANNELS those of what is added. SOURCE_*: of the source,
    SOURCE_PITCH floats from pixel to pixel. SWISH: 1 where the finished value x becomes
    x * clamp(x / 6 + 1 / 2, 0, 1)."""

    STEP = 0
    SOURCE = 1
    REST = 2
    TARGET = 3
    WEIGHT = 4
    BIAS = 5
    SLOPE = 6
    ROWS = 7
    COLUMNS = 8
    CHANNELS = 9
    REST_CHANNELS = 10
    SOURCE_ROWS = 11
    SOURCE_COLUMNS = 12
    SOURCE_CHANNELS = 13
    SOURCE_PITCH = 14
    HEIGHT = 15
    WIDTH = 16
    STRIDE_Y = 17
    STRIDE_X = 18
    TOP = 19
    LEFT = 20
    SWISH = 21


FIELDS = len(Field)

BEGIN = (
    "typedef float vec __attribute__((ext_vector_type(16), aligned(4)));\nconst int* f = program.data + at;\n"
    + "".join(f"const int {field.name} = f[{field.value}]; (void){field.name};\n" for field in Field)
    + """
float* floats = memory.data + start;
const float* x = floats + SOURCE;
const float* rest = REST >= 0 ? floats + REST : nullptr;
float* y = floats + TARGET;
(void)x; (void)rest; (void)y;
#define VEC(p) (*(vec*)(p))
#define CONST_VEC(p) (*(const vec*)(p))
#define FINISHED(value, pixel, channel) { \\
    vec v = (value); \\
    if (rest && (channel) < REST_CHANNELS) v += CONST_VEC(rest + (pixel) * REST_CHANNELS + (channel)); \\
    const vec zero = 0.0f; \\
    v = __builtin_elementwise_max(v, zero) + CONST_VEC(slope + (channel)) * __builtin_elementwise_min(v, zero); \\
    if (SWISH) { \\
        const vec one = 1.0f; \\
        v *= __builtin_elementwise_max(__builtin_elementwise_min(v * (1.0f / 6.0f) + 0.5f, one), zero); } \\
    VEC(y + (pixel) * CHANNELS + (channel)) = v; }
"""
)

END = """
#undef FINISHED
#undef VEC
#undef CONST_VEC
"""
