//! What is a token at all, before anything in it is looked at.

use super::*;

#[test]
fn only_three_parts_in_the_compact_form_are_a_token() {
    let token = FIXTURE.token();
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts");
    };
    let json_form = json!({"payload": claims, "protected": header, "signature": signature});
    let jwe = json!({"alg": "dir", "enc": "A256GCM"}).to_string();
    for (what, token, reason) in [
        ("nothing", String::new(), "three parts"),
        ("two parts", format!("{header}.{claims}"), "three parts"),
        ("four parts", format!("{token}.{signature}"), "three parts"),
        ("five parts, encrypted", format!("{}..a.b.c", base64url(jwe)), "three parts"),
        ("a trailing dot", format!("{token}."), "three parts"),
        ("no header", format!(".{claims}.{signature}"), "header is not acceptable JSON"),
        ("no claims", format!("{header}..{signature}"), "claims is not acceptable JSON"),
        ("no signature", format!("{header}.{claims}."), "signature is wrong"),
        ("JSON form", json_form.to_string(), "three parts"),
    ] {
        FIXTURE.check_invalid(what, &token, reason);
    }
}

#[test]
fn there_is_one_way_to_write_a_token_in_base64url() {
    let token = FIXTURE.token();
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let (header, claims) = signed.split_once('.').expect("three parts");
    let signature_bytes = FIXTURE.key.signature(signed);
    let standard = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&signature_bytes);
    for (what, token, reason) in [
        ("padded header", format!("{header}=.{claims}.{signature}"), "header is not strict"),
        ("padded claims", format!("{header}.{claims}=.{signature}"), "claims is not strict"),
        ("padded signature", format!("{token}=="), "signature is wrong"),
        ("the other alphabet", format!("{signed}.+/{standard}"), "signature is wrong"),
        ("a space in the header", format!(" {token}"), "header is not strict"),
        ("a line break in the claims", format!("{header}.{claims}\n.{signature}"), "not strict"),
        ("a line break at the end", format!("{token}\n"), "signature is wrong"),
    ] {
        FIXTURE.check_invalid(what, &token, reason);
    }
    // 64 bytes end in a character of which four bits are over; they must be zero.
    let last = signature.chars().last().expect("not empty");
    for other in ('A'..='Z').chain('a'..='z').chain('0'..='9').filter(|other| *other != last) {
        let token = format!("{}{other}", &token[..token.len() - 1]);
        FIXTURE.check_invalid("another last character", &token, "signature is wrong");
    }
}

#[test]
fn a_token_of_nine_kilobytes_is_too_long_to_look_at() {
    let token = FIXTURE.token_with_claim("padding", &"x".repeat(9 * 1024).into());
    let refusal = FIXTURE.verify(&token).expect_err("too long");
    assert_eq!(answer(&refusal), "431 token_too_long");
    let longest = "a".repeat(TOKEN_LENGTH_MAX);
    assert_eq!(answer(&FIXTURE.verify(&longest).expect_err("no token")), "401 token_invalid");
    let longer = "a".repeat(TOKEN_LENGTH_MAX + 1);
    assert_eq!(answer(&FIXTURE.verify(&longer).expect_err("too long")), "431 token_too_long");
}

#[test]
fn claims_nested_as_deep_as_a_token_can_hold_are_refused_before_they_cost_anything() {
    // 5,500 levels fill the longest token; what more would do, the reader's own tests show.
    for claims in ["[".repeat(5_500), "{\"a\":".repeat(1_100)] {
        let token = FIXTURE.key.sign_text(&FIXTURE.key.header("k1").to_string(), &claims);
        FIXTURE.check_invalid("deep", &token, "nested too deeply");
    }
}

#[test]
fn a_claim_or_header_parameter_that_stands_twice_is_refused() {
    let header = FIXTURE.key.header("k1").to_string();
    let claims = good_claims().to_string();
    let twice = claims.replacen('{', "{\"user_id\":1,", 1);
    let token = FIXTURE.key.sign_text(&header, &twice);
    FIXTURE.check_invalid("a claim twice", &token, "a member stands twice");
    let escaped = claims.replacen('{', "{\"\\u0065xp\":99999999999,", 1);
    let token = FIXTURE.key.sign_text(&header, &escaped);
    FIXTURE.check_invalid("a claim twice in two spellings", &token, "a member stands twice");
    let twice = header.replacen('{', "{\"alg\":\"none\",", 1);
    let token = FIXTURE.key.sign_text(&twice, &claims);
    FIXTURE.check_invalid("a parameter twice", &token, "a member stands twice");
}
