"""$explain-access: why a professional could or could not see something of this person.

For the citizen and who represents them by law, nobody else. Parameters: `professional` (a
Practitioner or PractitionerRole), `resource` (what was or would be looked at; the Patient itself
when absent), `mode` (normal, bris_de_glace, centre_15; see TRE_R248). The answer is a Parameters
resource: `decision` (permit or deny), and one `step` for each rule with `rule`, `verdict` and
`reason`, in the order of docs/access.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.caller import Mode
from fhirserver.errors import Invalid
from fhirserver.operation.parameters import given

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.operation.call import Call


async def explain_access(ctx: Context, call: Call) -> Resource:
    assert call.id is not None
    professional, resource, mode = _read(call)
    steps = await ctx.store.explain(call.id, professional, resource, mode)
    decision = "deny" if any(step.verdict == "deny" for step in steps) else "permit"
    parameters: list[dict[str, Any]] = [{"name": "decision", "valueCode": decision}]
    for step in steps:
        part = [
            {"name": "rule", "valueCode": step.rule},
            {"name": "verdict", "valueCode": step.verdict},
            {"name": "reason", "valueCode": step.reason},
        ]
        parameters.append({"name": "step", "part": part})
    return {"resourceType": "Parameters", "parameter": parameters}


def _read(call: Call) -> tuple[str, tuple[str, str], Mode]:
    professional = ""
    resource = ("Patient", call.id or "")
    mode = Mode.NORMAL
    for name, value in given(call):
        text = value.get("reference", "") if isinstance(value, dict) else str(value)
        match name:
            case "professional":
                professional = text
            case "resource":
                type, _, id = text.partition("/")
                resource = (type, id)
            case "mode":
                if text not in set(Mode):
                    modes = ", ".join(Mode)
                    raise Invalid(f"mode is one of {modes}.", code="value")
                mode = Mode(text)
            case "_format" | "_pretty":
                pass
            case _:
                raise Invalid(f"$explain-access has no parameter {name[:80]}.")
    if not professional:
        raise Invalid("The parameter 'professional' is needed.", code="required")
    return professional, resource, mode
