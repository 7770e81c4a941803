"""What a change of a care team is refused for."""

from backend.errors import Conflict, NotFound


class AssignmentNotFound(NotFound):
    """There is no such care-team assignment of this patient in your organization."""


class NoPrimaryProvider(NotFound):
    """This patient has no PRIMARY provider at present."""


class PrimaryProviderExists(Conflict):
    """Another provider is this patient's PRIMARY: change the primary, or assign another role. `provider_id`,
    `provider_name` and `assignment_id` name who it is."""


class ProviderAlreadyAssigned(Conflict):
    """This provider is on the patient's care team already. `role` says as what, `assignment_id` since which assignment;
    a specialist becomes PRIMARY by changing the primary, any other role after being removed."""


class PrimaryProviderChanged(Conflict):
    """Somebody else has changed the patient's PRIMARY since you looked. `assignment_id`, `provider_id` and
    `provider_name` say who it is now, null for nobody."""


class AssignmentEnded(Conflict):
    """This assignment has ended. `removed_at` says when; a change of role ends one assignment and begins another."""
