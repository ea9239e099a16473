"""`bastide receipt`, `verify` and `audit`: what happened, and whether it can be proven."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bastide.cli.line import segment
from bastide.cli.printing import sheet, wrap
from bastide.cli.registering import errand, program
from bastide.cli.writing import write_file

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

ReceiptId = Annotated[str, typer.Argument(metavar="ID", help="The receipt's id, rcp_...")]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it here, to be verified anywhere.")]
Proof = Annotated[
    Path, typer.Argument(metavar="FILE", help="A receipt, a checkpoint, or the folder of an exported log.")
]
KeyFile = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="The log's public key, got from somebody you trust.")
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write to; it may hold an older export.")]

_audit = typer.Typer(help="The log of everything that happened.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Register the commands."""
    errand(root, "receipt", example="bastide receipt rcp_06ar2k8m1v6t7c9d0e1f2g3h4j --out receipt.json")(receipt)
    program(root, "verify", "verifying", example="bastide verify receipt.json --key log.vkey")(verify)
    errand(_audit, "verify", example="bastide audit verify --json")(audit_verify)
    program(_audit, "export", "exporting", example="bastide audit export evidence/")(audit_export)
    root.add_typer(_audit, name="audit")


async def receipt(desk: "Desk", id: ReceiptId, out: Out = None) -> None:
    """Fetch the receipt of a call: what was decided, why, where it went."""
    async with desk.server() as line:
        wire = await line.get(f"/api/v1/receipts/{segment(id)}")
    if out:
        write_file(Path(out), (json.dumps(wire, indent=1, ensure_ascii=False) + "\n").encode())
    desk.say(wire, lambda: f"Written to {out}. Verify it with `bastide verify {out}`." if out else sheet(wire))


def verify(file: Proof, key: KeyFile = None) -> None:
    """Verify a receipt, a checkpoint or an exported log, offline.

    Needs no server, no database and no network. Exit status 0 only when it is valid.
    """


async def audit_verify(desk: "Desk") -> int:
    """Verify the whole log against its checkpoint and against what this house wrote."""
    async with desk.server(within=False) as line:
        found = await line.post("/api/v1/audit:verify")
    desk.say(found, lambda: verdict(found))
    return 0 if found["valid"] else 1


def audit_export(folder: Folder) -> None:
    """Write tiles, checkpoints and keys to a folder that anybody can verify.

    The folder may hold an older export of the same log: it is continued. Reads the database of the home directly.
    """


def verdict(found: dict[str, Any]) -> str:
    """A verification for a person."""
    head = "Valid." if found["valid"] else "NOT valid."
    lines = [
        head,
        sheet({name: value for name, value in found.items() if name not in {"valid", "problems", "warnings"}}),
    ]
    lines += [wrap(str(problem), "  ", "- ") for problem in found["problems"]]
    lines += [wrap(str(warning), "  ", "Note: ") for warning in found.get("warnings") or ()]
    return "\n".join(lines)
