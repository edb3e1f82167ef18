-- The key that an account is about to get, sealed and stored before the CA hears of it (RFC 8555 section 7.3.5).
ALTER TABLE accounts ADD COLUMN pending_key bytea;

CREATE INDEX live_orders_by_account ON orders (account_id) WHERE state IN ('created', 'placed', 'keyed');
