//! Records as one request. Pure.

use crate::{
    Record,
    body::{pair, string},
};
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::InstrumentationScope,
    logs::v1::{ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use prost::Message;

/// The semantic conventions whose names are used.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// The request for these records: one `ResourceLogs` per provider and tenant, in the order of their first records.
pub fn request(records: &[&Record]) -> ExportLogsServiceRequest {
    let mut groups: Vec<(&Record, ResourceLogs)> = Vec::new();
    for record in records {
        let same = |first: &Record| first.provider == record.provider && first.tenant == record.tenant;
        let index = groups.iter().rposition(|(first, _)| same(first)).unwrap_or_else(|| {
            groups.push((record, group(record)));
            groups.len() - 1
        });
        groups[index].1.scope_logs[0].log_records.push(record.log.clone());
    }
    ExportLogsServiceRequest { resource_logs: groups.into_iter().map(|(_, group)| group).collect() }
}

/// An upper bound of the bytes that a record adds to a request: as if it had its resource for itself.
pub(crate) fn size(record: &Record) -> usize {
    // Field number and length of the record, and the lengths of the two messages around it, which grow with it.
    const FRAMES: usize = 3 * 10;
    ExportLogsServiceRequest { resource_logs: vec![group(record)] }.encoded_len() + record.log.encoded_len() + FRAMES
}

fn group(record: &Record) -> ResourceLogs {
    let tenant = record.tenant.as_ref().map(|tenant| pair("audit.tenant.id", string(tenant)));
    let attributes = tenant.into_iter().chain([
        pair("service.name", string(record.provider.as_ref())),
        pair("service.namespace", string("saas-audit")),
    ]);
    ResourceLogs {
        resource: Some(Resource { attributes: attributes.collect(), ..Resource::default() }),
        scope_logs: vec![ScopeLogs {
            scope: Some(InstrumentationScope {
                name: "headwater".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            }),
            log_records: Vec::new(),
            schema_url: SCHEMA_URL.to_owned(),
        }],
        schema_url: SCHEMA_URL.to_owned(),
    }
}
