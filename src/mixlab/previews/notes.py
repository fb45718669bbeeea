"""What a picture does not show of a method, in words for its subtitle and the printed line."""

from collections.abc import Iterable, Mapping

from mixlab.callbacks import HiddenMixingCallback, MixingCallback
from mixlab.callbacks.layers import INPUT
from mixlab.callbacks.network_labels import NetworkLabels
from mixlab.errors import UserError
from mixlab.mixing import Address
from mixlab.mixing.binding import needs_network

AS_INPUT = "as if in the input"
BY_AREA = "labels of the area, not weighed by the network"
UNTRAINED = "decided by a network before its training"


def notes_of(callback: MixingCallback) -> list[str]:
    """Of what a callback makes of images without the network that it trains with."""
    found = {
        AS_INPUT: isinstance(callback, HiddenMixingCallback) and not only_input(callback),
        BY_AREA: isinstance(callback, NetworkLabels),
        UNTRAINED: needs_network(callback.method),
    }
    return [note for note, holds in found.items() if holds]


def notes_of_run(callback: MixingCallback, address: Address) -> list[str]:
    """Of a run's batch, made again without the weights of its step."""
    if isinstance(callback, NetworkLabels):
        return [BY_AREA]
    if isinstance(callback, HiddenMixingCallback):
        layer = callback.layer_at(address)
        return [] if layer == INPUT else [f"mixed at layer {layer}, whose features have no picture"]
    return []


def only_input(callback: HiddenMixingCallback) -> bool:
    """Whether images are all that is mixed."""
    return list(map(str, callback.layers or ())) == [INPUT]


def check_has_picture(callback: HiddenMixingCallback) -> None:
    """Raise UserError where features are mixed."""
    if not only_input(callback):
        raise UserError(
            f"{type(callback.method).__name__} mixes features of the network, which have no "
            "picture; mixing.layers=[input] shows it as if in the input"
        )


def with_notes(what: str, notes: Iterable[str]) -> str:
    """A description and its notes, each once."""
    return "; ".join([what, *dict.fromkeys(notes)])


def why_left_out(reason: str) -> str:
    """Why a method is left out, without its class and the remedy, so that many share a note."""
    why = reason.split("; ")[0].split(", got ")[0]
    _, needs, wanted = why.partition(" needs ")
    return f"left out ({f'needs {wanted}' if needs else why})"


def by_note(notes: Mapping[str, list[str]]) -> list[str]:
    """Each note of several methods with the names of those it holds for."""
    names: dict[str, list[str]] = {}
    for name, own in notes.items():
        for note in own:
            names.setdefault(note, []).append(name)
    return [f"{note}: {', '.join(each)}" for note, each in names.items()]
