"""Drum performances with exact labels, rendered from one-shots and groove MIDI.

Conventions
-----------
- Audio is mono float32 at 44.1 kHz (`softloc.rendering.kits.SAMPLE_RATE_HZ`).
- The time of a hit is the time of its onset: the first sample at -30 dB re the hit's peak. Hits
  lie on whole samples, so labels are exact, and no stage after the placement moves a direct sound.
  That of a pitched note is the time of its first sample.
- Levels are in dB; a velocity is a MIDI velocity, 1-127.
- Randomness is an argument: ``draw_*`` functions take a generator and return a frozen record of
  what was drawn; all other functions apply such records and are deterministic.

The chain: `grooves` (MIDI to notes) and `patterns` (notes by rule) -> `performance` (notes to
hits) -> `drumset` (kits to voices) -> `mixing` (hits to one signal per class) -> `desk`,
with `rooms` and `shaping` (those signals to a mix) -> `recording` (a mix to a recording) -> `scene`
(all of it). Beside it, from the hits to the mix: `parts` (what pitched instruments play with them),
`backing` (recorded notes) and `timbres` (made ones) -> `accompaniment`.
"""
