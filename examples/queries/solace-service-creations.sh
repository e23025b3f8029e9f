#!/bin/sh
# Solace: which broker services were created, or should have been?
exec headwater query solace --since 30d --filter 'event_category: SERVICE' --filter 'event_type: SERVICE_CREATE' \
    --format csv --columns time,userId,status,meta.service_class_id,shortDescription "$@"
