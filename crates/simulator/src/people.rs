//! The invented people and things of a tenant.

/// (name, address local part, number)
pub(crate) const PEOPLE: [(&str, &str, u32); 10] = [
    ("Ana Example", "ana", 2),
    ("Ben Example", "ben", 3),
    ("Chloë Example", "chloe", 5),
    ("Dmitri Example", "dmitri", 8),
    ("Emi Example", "emi", 13),
    ("Farid Example", "farid", 21),
    ("Grace Example", "grace", 34),
    ("Hugo Example", "hugo", 55),
    ("Inês Example", "ines", 89),
    ("Jun Example", "jun", 144),
];

/// Names of services and applications.
pub(crate) const SERVICES: [&str; 8] =
    ["Order Service", "Billing", "Stock", "Web UI", "Mobile App", "Search", "Shipping Label", "Ledger"];

/// Titles of boards.
pub(crate) const TITLES: [&str; 8] = [
    "Quarterly planning",
    "Retrospective",
    "Customer journey",
    "Roadmap",
    "Incident review",
    "Onboarding",
    "Architecture",
    "Ideas",
];
