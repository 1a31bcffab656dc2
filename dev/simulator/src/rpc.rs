//! Checks the older signature of the vendor's, version 1.0 of its "RPC" style, with which STS is called.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha1::Sha1;

use crate::{
    acs3::{Refusal, SKEW},
    percent,
};

/// Checks the signature of a POST or GET to `/` over all its parameters, wherever they were sent.
pub(crate) fn verify(
    method: &str,
    parameters: &HashMap<String, String>,
    secret: &str,
) -> Result<(), Refusal> {
    check_form(parameters)?;
    let mismatch = || {
        let message = "Specified signature is not matched with our calculation.";
        Refusal::new(400, "SignatureDoesNotMatch", message)
    };
    let sent = parameters.get("Signature").ok_or_else(mismatch)?;
    let sent = STANDARD.decode(sent).map_err(|_| mismatch())?;
    let signed = parameters.iter().filter(|(name, _)| *name != "Signature");
    let mut pairs: Vec<String> = signed
        .map(|(name, value)| {
            format!(
                "{}={}",
                percent::encode(name.as_bytes()),
                percent::encode(value.as_bytes())
            )
        })
        .collect();
    pairs.sort_unstable();
    let text = format!(
        "{method}&%2F&{}",
        percent::encode(pairs.join("&").as_bytes())
    );
    let key = format!("{secret}&");
    let mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).map_err(|_| mismatch())?;
    let mac = mac.chain_update(text.as_bytes());
    mac.verify_slice(&sent).map_err(|_| mismatch())
}

/// Checks what comes with each signed call but the signature.
fn check_form(parameters: &HashMap<String, String>) -> Result<(), Refusal> {
    let sent = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
    for (name, value) in [
        ("Version", "2015-04-01"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureVersion", "1.0"),
        ("Format", "JSON"),
    ] {
        if sent(name) != value {
            let message = format!("The parameter {name} is not {value}.");
            return Err(Refusal::new(400, "InvalidParameter", message));
        }
    }
    if sent("SignatureNonce").is_empty() {
        let message = "The parameter SignatureNonce is missing.";
        return Err(Refusal::new(400, "MissingParameter", message));
    }
    let now = Timestamp::now();
    let is_near = |at: Timestamp| now.duration_since(at).unsigned_abs() <= SKEW;
    if !sent("Timestamp").parse().is_ok_and(is_near) {
        let message = "Specified time stamp or date value is expired.";
        return Err(Refusal::new(400, "InvalidTimeStamp.Expired", message));
    }
    Ok(())
}
