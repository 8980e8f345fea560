//! Right tokens in a form that is not theirs.

use super::{
    super::forge::{Key, encode},
    Attacks,
};

/// A right token, spelt in another way, cut, or put into another form.
pub(super) fn spellings(attacks: &mut Attacks, token: &str, thief: &Key) {
    let parts: Vec<&str> = token.split('.').collect();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let last = signature.chars().last().unwrap();
    // The last character has bits that the signature does not use.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.chars().nth((alphabet.find(last).unwrap() + 1) % 64).unwrap();
    let other = format!("{}{next}", &signature[..signature.len() - 1]);
    for (what, spelt) in [
        ("no signature", format!("{message}.")),
        ("no signature and no dot", message.to_owned()),
        ("a cut signature", token[..token.len() - 4].to_owned()),
        ("a longer signature", format!("{token}AAAA")),
        ("base64 with other unused bits", format!("{message}.{other}")),
        ("base64 with padding", format!("{message}.{signature}==")),
        (
            "base64 of the other alphabet",
            format!("{message}.{}", signature.replace('-', "+").replace('_', "/")),
        ),
        ("a signature of zeros", format!("{message}.{}", encode(vec![0; 256]))),
        ("a signature of one byte", format!("{message}.AA")),
        ("a fourth part", format!("{token}.{}", parts[1])),
        (
            "five parts, as encrypted ones have",
            format!("{}..{}.{}.{}", parts[0], parts[1], parts[2], parts[2]),
        ),
        ("an empty part", format!(".{}.{}", parts[1], parts[2])),
        ("only dots", "..".to_owned()),
        ("text", "not-a-token".to_owned()),
        ("a token within a token", thief.token_of(r#"{"alg":"RS256","cty":"JWT"}"#, token)),
        ("two tokens", format!("{token},{token}")),
        ("the parts of two tokens", format!("{}.{}.{}", parts[1], parts[0], parts[2])),
        ("twenty thousand bytes", format!("{message}.{}", "A".repeat(20_000))),
        (
            "a claims part of thirty thousand bytes",
            format!("{}.{}.{signature}", parts[0], "A".repeat(30_000)),
        ),
    ] {
        if what != "base64 of the other alphabet" || spelt != token {
            attacks.add(what, spelt);
        }
    }
}
