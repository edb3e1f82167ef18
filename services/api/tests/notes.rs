//! Notes on a domain: added, listed, deleted by their author or an admin, bounded.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::Role;
use proto::v1;
use tonic::Code;

use served::{Served, has_reason, served, signed};

const NAME: &str = "shop.example.com";

async fn add(served: &mut Served, token: &str, text: &str) -> Result<v1::DomainNote, tonic::Status> {
    let request = v1::AddDomainNoteRequest { name: NAME.to_owned(), text: text.to_owned() };
    let answer = served.client.add_domain_note(signed(request, token)).await?;
    Ok(answer.into_inner().note.unwrap())
}

async fn texts(served: &mut Served, token: &str) -> Vec<String> {
    let request = v1::ListDomainNotesRequest { name: NAME.to_owned() };
    let answer = served.client.list_domain_notes(signed(request, token)).await.unwrap();
    answer.into_inner().notes.into_iter().map(|note| note.text).collect()
}

async fn delete(served: &mut Served, token: &str, id: &str) -> Result<(), tonic::Status> {
    let request = v1::DeleteDomainNoteRequest { name: NAME.to_owned(), id: id.to_owned() };
    served.client.delete_domain_note(signed(request, token)).await.map(drop)
}

#[tokio::test]
async fn the_author_or_an_admin_deletes_a_note_and_nobody_else() {
    let mut served = served().await;
    let lee = served.token(Role::Support, |token| token.name = "lee".into()).await;
    let kim = served.token(Role::Support, |token| token.name = "kim".into()).await;
    let admin = served.token(Role::Admin, |token| token.name = "admin".into()).await;
    let missing = add(&mut served, &lee, "too early").await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let domain = v1::AddDomainRequest { name: NAME.to_owned(), ..Default::default() };
    served.client.add_domain(signed(domain, &lee)).await.unwrap();
    let first = add(&mut served, &lee, " customer told on 3 Dec,\r\nticket 4711 ").await.unwrap();
    assert_eq!(
        (first.author.as_str(), first.text.as_str()),
        ("token:lee", "customer told on 3 Dec,\nticket 4711")
    );
    let second = add(&mut served, &kim, "<b>=1+1").await.unwrap();
    assert_eq!(texts(&mut served, &lee).await.len(), 2);
    let refused = delete(&mut served, &kim, &first.id).await.unwrap_err();
    assert!(
        refused.code() == Code::PermissionDenied && has_reason(&refused, "NOTE_OF_ANOTHER"),
        "{refused:?}"
    );
    delete(&mut served, &lee, &first.id).await.unwrap();
    delete(&mut served, &admin, &second.id).await.unwrap();
    let gone = delete(&mut served, &admin, &second.id).await.unwrap_err();
    assert!(gone.code() == Code::NotFound && has_reason(&gone, "NOTE_NOT_FOUND"), "{gone:?}");
    let bad = delete(&mut served, &admin, "7").await.unwrap_err();
    assert!(has_reason(&bad, "NOTE_ID_INVALID"), "{bad:?}");
    assert_eq!(texts(&mut served, &lee).await, [] as [String; 0]);
    let lines = served.context.store.audit(None, 100).await.unwrap();
    let of_notes: Vec<_> = lines.iter().filter(|line| line.call.contains("Note")).collect();
    let outcomes: Vec<&str> = of_notes.iter().rev().map(|line| line.outcome.as_str()).collect();
    let expected =
        ["DOMAIN_NOT_FOUND", "OK", "OK", "NOTE_OF_ANOTHER", "OK", "OK", "NOTE_NOT_FOUND", "NOTE_ID_INVALID"];
    assert_eq!(outcomes, expected);
    assert!(of_notes.iter().all(|line| !line.detail.contains("4711")), "the text is not the log's");
}

#[tokio::test]
async fn notes_are_bounded() {
    let mut served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    let domain = v1::AddDomainRequest { name: NAME.to_owned(), ..Default::default() };
    served.client.add_domain(signed(domain, &token)).await.unwrap();
    for (text, reason) in [
        (String::new(), "NOTE_EMPTY"),
        ("x".repeat(4097), "NOTE_TOO_LONG"),
        ("x".repeat(1024 * 1024), "MESSAGE_TOO_LARGE"),
        ("a\u{1b}[2Jb".to_owned(), "NOTE_BAD_CHARACTER"),
    ] {
        let refused = add(&mut served, &token, &text).await.unwrap_err();
        assert!(has_reason(&refused, reason), "{refused:?}");
    }
    for number in 0..200 {
        add(&mut served, &token, &format!("note {number}")).await.unwrap();
    }
    let refused = add(&mut served, &token, "one more").await.unwrap_err();
    assert!(has_reason(&refused, "TOO_MANY_NOTES"), "{refused:?}");
    assert_eq!(texts(&mut served, &token).await.len(), 200);
}
