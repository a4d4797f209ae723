"""What a plugin's hooks must not be: wrappers, misspelt, or written for a newer harness."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from importlib import metadata

import pluggy

from harness.errors import HarnessError


def own_distribution() -> tuple[str, str]:
    """Return the name and version of the harness's own distribution."""
    from harness import __version__

    return "pepr-harness", __version__


def refuse_newer(manager: pluggy.PluginManager, plugin: object, distribution: str) -> None:
    """Raise TypeError where a hook of *plugin* wants an argument that we do not give, with the version it needs."""
    for hook in dir(plugin):
        spec = getattr(getattr(manager.hook, hook, None), "spec", None)
        if spec is None or manager.parse_hookimpl_opts(plugin, hook) is None:
            continue
        parameters = inspect.signature(getattr(plugin, hook)).parameters.values()
        # One with a default is left at it, as pluggy does: so a plugin can be made for older and newer ones alike.
        wanted = [one.name for one in parameters if one.default is one.empty and one.name not in spec.argnames]
        if wanted:
            own, version = own_distribution()
            way_out = _needs(distribution, own) or f"update {own}, or correct the hook"
            raise TypeError(f"{hook} wants {', '.join(wanted)}, which {own} {version} does not give; {way_out}")


def _needs(distribution: str, own: str) -> str | None:
    """Return which versions of *own* the *distribution* says that it needs, None where it does not say."""
    try:
        wanted = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return None
    found = [line.partition(";")[0].strip() for line in wanted if re.match(rf"{re.escape(own)}(?![\w.-])", line)]
    return f"{distribution} needs {found[0]}" if found else None


def refuse_wrappers(manager: pluggy.PluginManager, name: str) -> None:
    """Raise TypeError for a hook wrapper: each plugin is called on its own, so there is nothing to wrap."""
    for caller in manager.get_hookcallers(manager.get_plugin(name)) or ():
        for implementation in caller.get_hookimpls():
            if implementation.plugin_name == name and (implementation.hookwrapper or implementation.wrapper):
                raise TypeError(f"{caller.name} is a hook wrapper, which the harness does not call")


def refuse_misspelt_hooks(manager: pluggy.PluginManager, describe: Callable[[str], str]) -> None:
    """Raise HarnessError for a hook that the harness does not know; *describe* names the plugin."""
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        name = manager.get_name(error.plugin) or "?"
        raise HarnessError(
            f"plugin {describe(name)} has a hook that the harness does not know: {str(error).splitlines()[0]}; "
            f"correct its name, or leave the plugin out with --no-plugin {name}"
        ) from error
