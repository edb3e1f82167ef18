//! One message about many domains.

/// Stands for the name in what several domains have in common.
const NAME: &str = "NAME";

/// The messages about single domains as one; what is the same for several is said once.
pub(crate) fn one_message<'a>(letters: impl IntoIterator<Item = (&'a str, String)>) -> String {
    // What is common, the message about the first, and the names.
    let mut groups: Vec<(String, String, Vec<&str>)> = Vec::new();
    for (name, letter) in letters {
        let common = letter.replace(name, NAME);
        match groups.iter_mut().find(|(text, ..)| *text == common) {
            Some((.., names)) => names.push(name),
            None => groups.push((common, letter, vec![name])),
        }
    }
    let paragraph = |(common, first, names): (String, String, Vec<&str>)| match names[..] {
        [_] => first,
        _ => format!("In this paragraph, {NAME} stands for each of: {}.\n{common}", names.join(", ")),
    };
    groups.into_iter().map(paragraph).collect::<Vec<_>>().join("\n\n")
}

pub(crate) fn message_about(domains: usize) -> String {
    match domains {
        1 => "1 domain waits for the customer.".to_owned(),
        count => format!("{} domains wait for the customer.", super::number(count as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_said_once() {
        let set = |name: &str| format!("Set {name} as CNAME to cdn.example.net.");
        let of = |name: &'static str| (name, set(name));
        let odd = ("c.example.com", "Remove the DS record of c.example.com.".to_owned());
        let text = one_message([of("a.example.com"), odd, of("b.example.com")]);
        assert_eq!(
            text,
            "In this paragraph, NAME stands for each of: a.example.com, b.example.com.\n\
             Set NAME as CNAME to cdn.example.net.\n\n\
             Remove the DS record of c.example.com."
        );
        assert_eq!(one_message([of("a.example.com")]), set("a.example.com"));
        assert_eq!(one_message([]), "");
    }
}
