"""Reports that a person reads: one self-contained HTML page, and the same tables in the terminal.

Pure: figures in, text out; the same figures give the same bytes. The charts are SVG written by hand, so a report needs no
network, no browser plug-in and no script: it can be mailed, printed and opened in ten years.
"""
