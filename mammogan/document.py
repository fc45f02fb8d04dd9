"""JSON of another system, such as an object of Kubernetes', read by path: what is missing is empty, never an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class Document:
    """One value of a JSON document and what lies below it."""

    def __init__(self, content: object = None) -> None:
        self._content = content

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self._content)

    def at(self, *path: str) -> Document:
        """What stands at a path of names."""
        content = self._content
        for name in path:
            content = content.get(name) if isinstance(content, Mapping) else None
        return Document(content)

    def text(self, *path: str) -> str:
        """The text, or the number in figures, at a path."""
        content = self.at(*path)._content
        return str(content) if isinstance(content, str | int | float) and not isinstance(content, bool) else ""

    def number(self, *path: str) -> int | None:
        """The integer at a path."""
        content = self.at(*path)._content
        return content if isinstance(content, int) and not isinstance(content, bool) else None

    def flag(self, *path: str) -> bool | None:
        """The truth value at a path."""
        content = self.at(*path)._content
        return content if isinstance(content, bool) else None

    def items(self, *path: str) -> Iterator[Document]:
        """The elements of the list at a path."""
        content = self.at(*path)._content
        yield from map(Document, content if isinstance(content, list | tuple) else ())

    def entries(self, *path: str) -> Iterator[tuple[str, Document]]:
        """Names and values of the object at a path."""
        content = self.at(*path)._content
        yield from (
            (str(key), Document(value)) for key, value in (content if isinstance(content, Mapping) else {}).items()
        )

    def texts(self, *path: str) -> dict[str, str]:
        """Names and texts of the object at a path."""
        return {key: value.text() for key, value in self.entries(*path)}

    def has(self, *path: str) -> bool:
        """Whether there is something at a path, be it empty."""
        return self.at(*path)._content is not None
