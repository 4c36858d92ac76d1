"""What travels between hub and site: a request, and a reply or a refusal.

On the wire a message is one safetensors file. Its arrays are the file's tensors; everything else is JSON under the key
``message`` of the file's metadata. There is nothing to execute in it, and a reader can check its size before reading.
On a pipe, eight bytes of length go before it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import IO, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from medfl.errors import Complaint, WireError
from medfl.foreign import understood

Task = Literal[
    "describe", "prepare", "train", "evaluate", "alone", "fine-tune", "keys", "unmask", "stopped", "consider"
]
SUMMED: frozenset[Task] = frozenset({"prepare", "train", "evaluate"})
"""Tasks whose replies bring arrays that add up over sites."""
SECURE = "secure"
"""Under this name requests and replies say what secure aggregation needs."""
LEDGERS = "ledgers"
"""Under this name a request says how far the site's privacy ledger had come when the hub last heard of it."""
SITTING = "sitting"
"""Under this name a hospital's reply says, by a word drawn at its start, which process of its agent worked on it."""
TROUBLE = "trouble"
"""Under this name a site or an engine tells, in sentences, what befell a reply on its way."""
Arrays: TypeAlias = Mapping[str, NDArray[Any]]
Json: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the hub asks of one site.

    Parameters
    ----------
    run, round, site, task
        They name the request: asking twice for the same is asking once.
    study
        Canonical JSON of the study's arm.
    seed
        The run's seed.
    content
        What the task needs besides numbers: the agreement, the recipe.
    arrays
        What the algorithm shares, such as the global weights.
    """

    run: str
    round: int
    site: str
    task: Task
    study: str
    seed: int
    content: Json = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The request's name, the same whenever it is asked again."""
        return f"{self.run}/{self.round}/{self.task}/{self.site}"

    @property
    def sum(self) -> str:
        """What the site's numbers become part of, where they add up: a run and a round have one sum of each name.

        The last model is judged twice where its operating point is read from the first judgement: two sums.
        """
        unset = self.task == "evaluate" and self.content["judge"]["threshold"] is None
        return "evaluate without a threshold" if unset else self.task

    @property
    def subject(self) -> bytes:
        """What is asked of every site alike: all but the site, and what is said to it alone."""
        content = {name: said for name, said in self.content.items() if name not in (SECURE, LEDGERS)}
        return to_bytes(replace(self, site="", content=content))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a site answers.

    Parameters
    ----------
    request
        Id of the request.
    site
        Who answers.
    content
        What it says besides numbers.
    arrays
        What adds up over sites.
    seconds
        Time the site worked.
    """

    request: str
    site: str
    content: Json = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A site's no, or what kept it from answering.

    Parameters
    ----------
    request
        Id of the request.
    site
        Who refuses.
    code
        Code of the error.
    complaints
        The reasons, each with its remedy; they name no patient's value.
    """

    request: str
    site: str
    code: str
    complaints: tuple[Complaint, ...]

    @property
    def reason(self) -> str:
        """All complaints as text."""
        return "\n".join(str(complaint) for complaint in self.complaints)


Message: TypeAlias = Request | Reply | Refusal

LARGEST = 2**34
"""Bytes of the largest message that is read."""
MOST = 1000
"""Complaints of one refusal."""
LARGEST_HEAD = 2**24
"""Bytes of the largest head, which holds all but the arrays; as Python's objects it takes some twenty times as much."""


def to_bytes(message: Message) -> bytes:
    """Return the message as a safetensors file."""
    from safetensors.numpy import save

    arrays = {} if isinstance(message, Refusal) else {n: np.asarray(a, order="C") for n, a in message.arrays.items()}
    return save(arrays, metadata={"message": json.dumps(_header(message), separators=(",", ":"))})


def from_bytes(body: bytes) -> Message:
    """Read a message.

    Raises
    ------
    WireError
        If the bytes are not a message.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        length = int.from_bytes(body[:8], "little")
        if length > LARGEST_HEAD:
            raise ValueError("a head without end")
        metadata = understood(body[8 : 8 + length])["__metadata__"]
        header = understood(metadata["message"])
        arrays = load(body)
        return _message(header, arrays)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise WireError(
            "a message cannot be read",
            received=f"{len(body)} bytes, {type(error).__name__}",
            remedy="check that hub and sites run the same version of MEDfl",
        ) from error


def nbytes(arrays: Arrays) -> int:
    """Return the size of these arrays in bytes."""
    return sum(array.nbytes for array in arrays.values())


def write_frame(pipe: IO[bytes], body: bytes) -> None:
    """Write one message and push it out."""
    pipe.write(len(body).to_bytes(8, "little"))
    pipe.write(body)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> bytes | None:
    """Read one message; None where the other end has closed the pipe.

    Raises
    ------
    WireError
        If the pipe ends inside a message, or the length is absurd.
    """
    head = pipe.read(8)
    if not head:
        return None
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > LARGEST:
        raise WireError("a message on the pipe has no believable length", received=f"{length} bytes")
    body = pipe.read(length)
    if len(body) < length:
        raise WireError("a message on the pipe was cut off", received=f"{len(body)} of {length} bytes")
    return body


_WORDS: Mapping[type[Message], Mapping[str, tuple[type, ...]]] = {
    Request: {
        "run": (str,),
        "round": (int,),
        "site": (str,),
        "task": (str,),
        "study": (str,),
        "seed": (int,),
        "content": (dict,),
    },
    Reply: {"request": (str,), "site": (str,), "content": (dict,), "seconds": (int, float)},
    Refusal: {"request": (str,), "site": (str,), "code": (str,), "complaints": (list,)},
}
"""What a message says besides arrays, and of which JSON type it is."""
_KINDS: Mapping[str, type[Message]] = {kind.__name__: kind for kind in _WORDS}


def _header(message: Message) -> dict[str, Any]:
    header = {name: getattr(message, name) for name in _WORDS[type(message)]} | {"is": type(message).__name__}
    if isinstance(message, Refusal):
        header["complaints"] = [[c.what, c.where, c.received, c.remedy] for c in message.complaints]
    return header


def _message(header: Any, arrays: Arrays) -> Message:
    """Return the message that a header and arrays make; whoever sent it may have written anything into it."""
    kind = _KINDS[header["is"]]
    words = {name: value for name, value in header.items() if name != "is"}
    types = _WORDS[kind]
    if words.keys() != types.keys() or any(type(words[name]) not in types[name] for name in types):
        raise ValueError("a word is missing, unknown or of another type")
    if kind is Refusal:
        return Refusal(**words | {"complaints": _complaints(words["complaints"])})
    if kind is Reply:
        return Reply(**words, arrays=arrays)
    if words["task"] not in get_args(Task) or words["round"] < 0:
        raise ValueError("no such task or round")
    return Request(**words, arrays=arrays)


def _complaints(listed: list[Any]) -> tuple[Complaint, ...]:
    """Return the complaints of a refusal: at least one, four texts each."""
    if not 0 < len(listed) <= MOST or not all(type(text) is str for texts in listed for text in texts):
        raise ValueError("a refusal without a reason")
    return tuple(Complaint(what, where, received, remedy) for what, where, received, remedy in listed)
