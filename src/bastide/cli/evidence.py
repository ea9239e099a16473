"""`bastide receipt`, `verify` and `audit`: what happened, and whether it can be proven."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bastide.cli.registering import errand
from bastide.cli.line import segment
from bastide.cli.orders import become
from bastide.cli.printing import sheet, wrap
from bastide.cli.writing import write_file
from bastide.errors import MissingFile, NoHouse

ReceiptId = Annotated[str, typer.Argument(metavar="ID", help="The receipt's id, rcp_...")]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it here, to be verified anywhere.")]
Proof = Annotated[Path, typer.Argument(metavar="FILE", help="A receipt, a checkpoint, or the folder of an exported log.")]
KeyFile = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="The log's public key, got from somebody you trust.")
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write to; it may hold an older export.")]

_audit = typer.Typer(help="The log of everything that happened.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Register the commands."""
    errand(root, "receipt", example="bastide receipt rcp_06ar2k8m1v6t7c9d0e1f2g3h4j --out receipt.json")(receipt)
    errand(root, "verify", example="bastide verify receipt.json --key log.vkey")(verify)
    errand(_audit, "verify", example="bastide audit verify --json")(audit_verify)
    errand(_audit, "export", example="bastide audit export evidence/")(audit_export)
    root.add_typer(_audit, name="audit")


async def receipt(desk: "Desk", id: ReceiptId, out: Out = None) -> None:
    """Fetch the receipt of a call: what was decided, why, where it went."""
    async with desk.server() as line:
        wire = await line.get(f"/api/v1/receipts/{segment(id)}")
    if out:
        write_file(out, (json.dumps(wire, indent=1, ensure_ascii=False) + "\n").encode())
    desk.say(wire, lambda: f"Written to {out}. Verify it with `bastide verify {out}`." if out else sheet(wire))


async def verify(desk: "Desk", file: Proof, key: KeyFile = None) -> int:
    """Verify a receipt, a checkpoint or an exported log, offline.

    Needs no server, no database and no network. Exit status 0 only when it is valid.
    """
    for path in (file, *([key] if key else [])):
        if not path.exists():
            raise MissingFile(f"There is no {path}.")
    become("bastide.cli.verifying", json.dumps([str(file), str(key) if key else None, desk.as_json]))


async def audit_verify(desk: "Desk") -> int:
    """Verify the whole log against its checkpoint and against what this house wrote."""
    async with desk.server(within=False) as line:
        found = await line.post("/api/v1/audit:verify")
    desk.say(found, lambda: verdict(found))
    return 0 if found["valid"] else 1


async def audit_export(desk: "Desk", folder: Folder) -> int:
    """Write tiles, checkpoints and keys to a folder that anybody can verify.

    The folder may hold an older export of the same log: it is continued. Reads the database of the home directly.
    """
    if not (desk.settings.home / "secrets").is_dir():
        raise NoHouse(f"There is no house in {desk.settings.home} yet.")
    become("bastide.cli.exporting", json.dumps([str(desk.settings.home), str(folder.absolute()), desk.as_json]))


def verdict(found: dict[str, Any]) -> str:
    """A verification for a person."""
    head = "Valid." if found["valid"] else "NOT valid."
    lines = [head, sheet({name: value for name, value in found.items() if name not in {"valid", "problems", "warnings"}})]
    lines += [wrap(str(problem), "  ", "- ") for problem in found["problems"]]
    lines += [wrap(str(warning), "  ", "Note: ") for warning in found.get("warnings") or ()]
    return "\n".join(lines)
