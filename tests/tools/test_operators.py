"""docs/operators.md says what the code does."""

from pathlib import Path

from thumbnet.tools.operators import operators_page

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_page_is_fresh():
    assert PAGE.read_text(encoding="utf-8") == operators_page(), "run ./sconsw docs"
