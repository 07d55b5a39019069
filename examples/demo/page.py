#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""page.py FILE: draws a line of words, drawn by lot, into a PNG, and prints them."""

import random
import sys

from PIL import Image, ImageDraw, ImageFont

WORDS = """anchor ballast beacon bridge cargo current harbour horizon island journey lantern
manifest mariner morning ocean passage quarter rudder signal tide vessel voyage weather
winter""".split()
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"

text = " ".join(random.sample(WORDS, 4))
image = Image.new("L", (1200, 120), 255)
ImageDraw.Draw(image).text((40, 30), text, fill=0, font=ImageFont.truetype(FONT, 48))
image.save(sys.argv[1])
print(text)
