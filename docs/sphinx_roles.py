"""For ``make docs``: the roles of Sphinx in docstrings, such as ``:class:`ZilliantHook```, as links.

And ``::`` on a line of its own, before a block that is indented anyway, goes.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|meth|func|attr|mod|data):`~?([\w.]+)`")


class SphinxRoles(griffe.Extension):
    """Turns each role into code that links to what it names, where the site documents that."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        classes: dict[str, str] = {}
        for module in _modules(pkg):
            classes |= {name: one.path for name, one in module.classes.items() if not one.is_alias}
        for module in _modules(pkg):
            _rewrite(module, classes)


def _modules(module: griffe.Module) -> list[griffe.Module]:
    own = [one for one in module.modules.values() if not one.is_alias]
    return [module, *(inner for one in own for inner in _modules(one))]


def _rewrite(thing: griffe.Object, classes: dict[str, str]) -> None:
    def link(role: re.Match[str]) -> str:
        name = role[1]
        owner = thing if thing.is_class else thing.parent
        is_member = owner is not None and owner.is_class and name in owner.members
        path = f"{owner.path}.{name}" if is_member else classes.get(name.rpartition(".")[2], name)
        return f'<autoref optional identifier="{path}"><code>{name}</code></autoref>'

    if thing.docstring is not None:
        thing.docstring.value = ROLE.sub(link, thing.docstring.value).replace("\n\n::\n\n", "\n\n")
    for member in thing.members.values():
        if not member.is_alias and not member.is_module:
            _rewrite(member, classes)
