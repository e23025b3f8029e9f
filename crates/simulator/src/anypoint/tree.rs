//! How business groups are discovered: who am I, and what lies below an organization.

use super::ORGANIZATIONS;
use super::tokens::{CLIENT, Grant};
use serde_json::{Value, json};

const NAMES: [&str; 3] = ["Example Corp", "Payments", "Logistics"];

/// What `GET /accounts/api/{path}` answers; `None` if there is no such endpoint or organization.
pub(super) fn answer(path: &str, grant: Grant) -> Option<Value> {
    if path == "me" {
        return Some(me(grant));
    }
    let below = path.strip_prefix("organizations/")?;
    let (id, hierarchy) = below.strip_suffix("/hierarchy").map_or((below, false), |id| (id, true));
    let number = ORGANIZATIONS.iter().position(|known| *known == id)?;
    Some(if hierarchy { tree(number) } else { organization(number) })
}

/// A person, or a connected app: that belongs to an organization and is nobody.
fn me(grant: Grant) -> Value {
    match grant {
        Grant::User => json!({ "user": {
            "id": "b449eaf7-6312-42ad-9b40-000000000001",
            "username": super::tokens::USER,
            "organizationId": ORGANIZATIONS[0],
            "organization": organization(0),
        } }),
        Grant::App | Grant::Unprivileged => {
            json!({ "client": { "client_id": CLIENT, "name": "audit-export", "org_id": ORGANIZATIONS[0] } })
        }
    }
}

/// An organization; the first is the root of the others.
fn organization(number: usize) -> Value {
    let (above, below) = if number == 0 { (&[][..], &ORGANIZATIONS[1..]) } else { (&ORGANIZATIONS[..1], &[][..]) };
    json!({
        "id": ORGANIZATIONS[number], "name": NAMES[number], "isRoot": number == 0,
        "parentOrganizationIds": above, "subOrganizationIds": below, "tenantOrganizationIds": [],
    })
}

fn tree(number: usize) -> Value {
    let below = if number == 0 { 1..ORGANIZATIONS.len() } else { 0..0 };
    json!({
        "id": ORGANIZATIONS[number], "name": NAMES[number],
        "subOrganizations": below.map(tree).collect::<Vec<_>>(),
    })
}
