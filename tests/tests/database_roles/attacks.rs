//! What is tried with the password of each role, in SQL.

use runtime::SystemEntropy;

use super::{Goal, PASSWORD, Prize, hex_of};

impl Prize {
    /// The attacks of a column of the table.
    pub(super) fn attacks(&self, goal: Goal) -> Vec<String> {
        match goal {
            Goal::BecomeSomebody => [self.tokens_and_people(), self.earlier_rows(), self.sessions()].concat(),
            Goal::GetKey => keys(),
            Goal::Swap => swaps(),
            Goal::Audit => audit(),
        }
    }

    fn tokens_and_people(&self) -> Vec<String> {
        let token = hex_of(&self.forged_token);
        let password = api::hash_password(&format!("{PASSWORD} {PASSWORD}"), &SystemEntropy).unwrap();
        vec![
            format!(
                "INSERT INTO tokens (name, hash, roles, created_at, mac)
                    SELECT 'forged', {token}, 'admin', created_at, mac FROM tokens WHERE name = 'admin'"
            ),
            format!(
                "INSERT INTO tokens (name, hash, roles, created_at, mac)
                    VALUES ('forged', {token}, 'admin', now(), decode(repeat('00', 40), 'hex'))"
            ),
            "UPDATE tokens SET roles = 'admin' WHERE name = 'viewer'".to_owned(),
            format!("UPDATE tokens SET hash = {token} WHERE name = 'admin'"),
            "UPDATE tokens SET revoked_at = NULL WHERE name = 'revoked'".to_owned(),
            "UPDATE tokens SET revoked_at = now() + interval '1 day' WHERE name = 'revoked'".to_owned(),
            "DELETE FROM tokens WHERE name = 'revoked'".to_owned(),
            format!(
                "INSERT INTO users (name, roles, password_hash, created_at, mac)
                    SELECT 'forged', 'admin', '{password}', created_at, mac FROM users WHERE name = 'boss'"
            ),
            "UPDATE users SET roles = 'admin' WHERE name = 'eve'".to_owned(),
            format!("UPDATE users SET password_hash = '{password}' WHERE name = 'boss'"),
            "UPDATE users SET roles = 'admin', mac = (SELECT mac FROM users WHERE name = 'boss')
                WHERE name = 'eve'"
                .to_owned(),
            format!("UPDATE users SET password_hash = 'temporary:4000000000:{password}' WHERE name = 'boss'"),
        ]
    }

    fn sessions(&self) -> Vec<String> {
        let (session, own) = (hex_of(&self.forged_session), hex_of(&self.own_session));
        vec![
            format!(
                "INSERT INTO sessions (hash, user_name, created_at, used_at, expires_at, mac)
                SELECT {session}, 'boss', created_at, used_at, expires_at, mac FROM sessions"
            ),
            format!(
                "INSERT INTO sessions (hash, user_name, created_at, used_at, expires_at, mac)
                VALUES ({session}, 'boss', now(), now(), now() + interval '1 hour', '')"
            ),
            format!(
                "INSERT INTO sessions (hash, person, roles, created_at, used_at, expires_at, mac)
                SELECT {session}, 'oidc:boss', 'admin', created_at, used_at, expires_at, mac FROM sessions"
            ),
            format!("UPDATE sessions SET user_name = 'boss' WHERE hash = {own}"),
            format!(
                "DELETE FROM sessions WHERE hash = {own};
                INSERT INTO sessions (hash, user_name, created_at, used_at, expires_at, mac)
                VALUES ({own}, 'boss', now(), now(), now() + interval '1 hour', decode(repeat('11', 40), 'hex'))"
            ),
        ]
    }
}

fn keys() -> Vec<String> {
    vec![
        "SELECT sealed_key FROM certificates".to_owned(),
        "SELECT sealed_key FROM accounts".to_owned(),
        "SELECT sealed_key FROM orders".to_owned(),
        "UPDATE certificates SET sealed_key = (SELECT sealed_key FROM accounts) WHERE name = 'evil.example.com'"
            .to_owned(),
        "UPDATE certificates SET sealed_key =
            (SELECT o.sealed_key FROM orders o WHERE o.name = 'evil.example.com')
            WHERE name = 'evil.example.com'"
            .to_owned(),
        "INSERT INTO certificates (id, name, revision, source, sha256, serial, issuer, not_before, not_after,
                chain_pem, sealed_key, created_at)
            SELECT gen_random_uuid(), 'evil.example.com', revision, source, sha256, serial, issuer, not_before,
                not_after, chain_pem, sealed_key, created_at
            FROM certificates WHERE name = 'shop.example.com';
            UPDATE domains SET live_certificate_id = (SELECT id FROM certificates
                WHERE name = 'evil.example.com' AND sha256 IN
                    (SELECT sha256 FROM certificates WHERE name = 'shop.example.com'))
            WHERE name = 'evil.example.com'"
            .to_owned(),
    ]
}

fn swaps() -> Vec<String> {
    vec![
        "UPDATE certificates SET sealed_key = (SELECT sealed_key FROM certificates WHERE name = 'shop.example.com')
            WHERE name = 'evil.example.com'"
            .to_owned(),
        "UPDATE certificates SET chain_pem = (SELECT chain_pem FROM certificates WHERE name = 'shop.example.com'),
                sealed_key = (SELECT sealed_key FROM certificates WHERE name = 'shop.example.com')
            WHERE name = 'evil.example.com'"
            .to_owned(),
        "UPDATE certificates SET name = 'evil.example.com' WHERE name = 'shop.example.com';
            UPDATE domains SET live_certificate_id = (SELECT live_certificate_id FROM domains
                WHERE name = 'shop.example.com') WHERE name = 'evil.example.com'"
            .to_owned(),
        "UPDATE domains SET live_certificate_id = (SELECT live_certificate_id FROM domains
                WHERE name = 'shop.example.com') WHERE name = 'evil.example.com'"
            .to_owned(),
        "UPDATE domains SET previous_certificate_id = (SELECT live_certificate_id FROM domains
                WHERE name = 'shop.example.com'), live_certificate_id = (SELECT live_certificate_id FROM domains
                WHERE name = 'shop.example.com') WHERE name = 'evil.example.com'"
            .to_owned(),
    ]
}

fn audit() -> Vec<String> {
    vec![
        "UPDATE audit SET actor = 'token:other' WHERE sequence = 2".to_owned(),
        "DELETE FROM audit WHERE sequence = 5".to_owned(),
        "DELETE FROM audit WHERE sequence > 3;
            UPDATE audit_head SET sequence = 3, hash = (SELECT hash FROM audit WHERE sequence = 3)"
            .to_owned(),
        "UPDATE audit_head SET sequence = 3, hash = (SELECT hash FROM audit WHERE sequence = 3)".to_owned(),
        "UPDATE audit SET sequence = NULL, hash = NULL WHERE sequence > 3;
            UPDATE audit_head SET sequence = 3, hash = (SELECT hash FROM audit WHERE sequence = 3)"
            .to_owned(),
        "UPDATE audit SET hash = decode(repeat('00', 32), 'hex') WHERE sequence = 5".to_owned(),
        "UPDATE audit_mark SET sequence = 3, hash = (SELECT hash FROM audit WHERE sequence = 3)".to_owned(),
        "UPDATE audit_mark SET sequence = 0, hash = decode(repeat('00', 32), 'hex'), mac = ''".to_owned(),
        "DELETE FROM audit_mark".to_owned(),
        "TRUNCATE audit".to_owned(),
        "DROP TABLE audit".to_owned(),
        "ALTER TABLE audit DISABLE TRIGGER ALL".to_owned(),
    ]
}
