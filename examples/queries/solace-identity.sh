#!/bin/sh
# Solace: what happened in one category, identity and access for example?
exec headwater query solace --since 30d --filter 'event_category: IAM' \
    --format csv --columns time,userId,eventType,status,resourceId,source "$@"
