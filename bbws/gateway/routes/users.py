"""Users of tenants: who has which role where."""

from bbws.gateway.api.tenancy import users
from bbws.gateway.operations import Answer, Route
from bbws.gateway.permissions import Right
from bbws.shared.contracts.tenancy.users import UserAssignment, UserAssignmentDraft, UserRolePatch

USERS: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1.0/tenants/{tenantId}/users",
        operation_id="user-assign",
        handler=users.assign_user,
        summary="Give a user a role in a tenant",
        tag="users",
        access=Right.USERS_MANAGE,
        description=(
            "Somebody who has no password yet is invited by mail. A repeat changes nothing and answers 200; a user who "
            "has another role is 409: change it with PATCH. The first user makes the tenant REGISTERED."
        ),
        request=UserAssignmentDraft,
        answers={
            200: Answer("The user had the role already", UserAssignment, "resource", etag=True),
            201: Answer("Assigned", UserAssignment, "resource", etag=True, location=True),
        },
        errors=(409,),
        idempotency="optional",
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/users",
        operation_id="user-list",
        handler=users.list_users,
        summary="List the users of a tenant",
        tag="users",
        access=Right.USERS_READ,
        answers={200: Answer("One page of users", UserAssignment, "collection")},
        paged=True,
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/users/{userId}",
        operation_id="user-get",
        handler=users.get_user,
        summary="Read a user's role in a tenant",
        tag="users",
        access=Right.USERS_READ,
        answers={200: Answer("The user", UserAssignment, "resource", etag=True)},
        conditional=True,
    ),
    Route(
        method="PATCH",
        path="/v1.0/tenants/{tenantId}/users/{userId}",
        operation_id="user-update",
        handler=users.update_user,
        summary="Give a user another role in a tenant",
        tag="users",
        access=Right.USERS_MANAGE,
        description="The last owner stays owner: 409. A new role counts within 30 seconds, for changes at once.",
        request=UserRolePatch,
        answers={200: Answer("The user as they are now", UserAssignment, "resource", etag=True)},
        errors=(409,),
        if_match=True,
    ),
    Route(
        method="DELETE",
        path="/v1.0/tenants/{tenantId}/users/{userId}",
        operation_id="user-remove",
        handler=users.remove_user,
        summary="Take a user out of a tenant",
        tag="users",
        access=Right.USERS_MANAGE,
        description="The last owner stays: 409. The user keeps their sign-in and their roles in other tenants.",
        answers={204: Answer("Removed")},
        errors=(409,),
        if_match=True,
    ),
    Route(
        method="GET",
        path="/v1.0/users/{userId}/tenants",
        operation_id="user-tenant-list",
        handler=users.list_tenants_of_user,
        summary="List a user's tenants",
        tag="users",
        access=Right.USER_TENANTS_READ,
        description="With the user's role in each; for the user and for staff. A new role may show a moment later.",
        answers={200: Answer("One page of the user's roles", UserAssignment, "collection")},
        paged=True,
    ),
)
