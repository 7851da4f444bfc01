"""Points: those of MediaPipe's 478 that the parametric head ties itself to, by name. Knows no pictures."""

from __future__ import annotations

LIPS_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
LIPS_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
EYE_RIGHT = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
"The subject's; image left."
EYE_LEFT = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
BROWS = (70, 63, 105, 66, 107, 300, 293, 334, 296, 336)
NOSE = (168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 129, 358)
CHIN = (152, 148, 377, 176, 400, 199, 200)
JAW = (234, 132, 58, 172, 136, 150, 149, 454, 361, 288, 397, 365, 379, 378)
FOREHEAD = (10, 151, 9, 8)
CHEEKS = (50, 280, 205, 425, 117, 346)

ALL = LIPS_OUTER + LIPS_INNER + EYE_RIGHT + EYE_LEFT + BROWS + NOSE + CHIN + JAW + FOREHEAD + CHEEKS
"125 points."

RIGID = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 129, 358, 10, 151, 9, 8, 234, 454, 132, 361, 50, 280)
"26 that an expression hardly moves."
