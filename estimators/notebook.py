"""How an influence shows itself in a notebook: a heading and its ends, as a table; every text is escaped by pandas."""

import html

import pandas as pd

SHOWN = 5


def shown_in_notebook(heading: str, ordered: pd.DataFrame, notes: tuple[str, ...]) -> str:
    """An HTML fragment: the heading, the first and last rows of a frame ordered from high to low, and the notes."""
    parts = [f"<p><b>{html.escape(heading)}</b></p>"]
    if len(ordered) > 2 * SHOWN:
        ordered = pd.concat([ordered.head(SHOWN), ordered.tail(SHOWN)])
        parts[0] = f"<p><b>{html.escape(heading)}</b>: the {SHOWN} highest and the {SHOWN} lowest</p>"
    parts.append(ordered.to_html(index=False, border=0, float_format=lambda value: f"{value:.4g}"))
    parts += [f"<p>{html.escape(note)}</p>" for note in notes]
    return "\n".join(parts)
