"""Tables and small pictures as text, HTML and SVG, without scripts: they survive save, nbconvert and GitHub."""
