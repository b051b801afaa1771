"""Widths of hidden layers as one number for all of them or as a tuple with one for each."""

from typing import Any

from gnn.errors import SettingError


def settle_widths(settings: Any) -> tuple[object, ...]:  # noqa: ANN401
    """All numbers of `hidden_channels`, not checked; a list, as JSON has it, becomes the tuple it was written from."""
    widths = settings.hidden_channels
    if isinstance(widths, list):
        widths = tuple(widths)
        # Settings are frozen for those who use them, not for their own __post_init__.
        object.__setattr__(settings, "hidden_channels", widths)
    return widths if isinstance(widths, tuple) else (widths,)


def require_width_of_each(hidden_channels: int | tuple[int, ...], layers: int) -> None:
    """Raise `SettingError` for a tuple of widths that does not have one for each of the hidden layers."""
    if isinstance(hidden_channels, tuple) and len(hidden_channels) != layers:
        raise SettingError(
            f"hidden_channels {hidden_channels} lists {len(hidden_channels)} widths for {layers} hidden layers; give "
            "one for each, or one number"
        )
