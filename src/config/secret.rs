//! `${env:NAME}` and `${file:PATH}` inside a setting.
use std::path::Path;

/// Replaces references in plain text.
pub(super) fn in_text(text: &str, folder: &Path) -> Result<String, String> {
    replace(text, folder, |secret| secret)
}

/// Replaces references in a URL: a secret that is only a part of it is percent-encoded; one that is all of it
/// is the URL.
pub(super) fn in_url(text: &str, folder: &Path) -> Result<String, String> {
    let whole = text.starts_with("${") && text.find('}') == Some(text.len() - 1);
    replace(
        text,
        folder,
        |secret| if whole { secret } else { encode(&secret) },
    )
}

fn replace(text: &str, folder: &Path, form: impl Fn(String) -> String) -> Result<String, String> {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        result.push_str(before);
        let (reference, after) = after.split_once('}').ok_or("a `${` has no `}`")?;
        result.push_str(&form(resolve(reference, folder)?));
        rest = after;
    }
    Ok(result + rest)
}

fn resolve(reference: &str, folder: &Path) -> Result<String, String> {
    match reference.split_once(':') {
        Some(("env", name)) => {
            std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))
        }
        Some(("file", path)) => {
            let path = folder.join(path);
            let text = std::fs::read_to_string(&path);
            let text =
                text.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            Ok(text.trim_end_matches(['\n', '\r']).to_owned())
        }
        _ => Err(format!(
            "`${{{reference}}}` is neither `${{env:NAME}}` nor `${{file:PATH}}`"
        )),
    }
}

fn encode(secret: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let form = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    secret.bytes().map(form).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pw"), "p@ss/w:rd\n").unwrap();
        folder
    }

    #[test]
    fn a_secret_inside_a_url_is_encoded() {
        let folder = folder();
        let url = in_url("mysql://cdc:${file:pw}@h:3306", folder.path()).unwrap();
        assert_eq!(url, "mysql://cdc:p%40ss%2Fw%3Ard@h:3306");
    }

    #[test]
    fn a_secret_that_is_all_of_the_setting_is_taken_as_it_is() {
        let folder = folder();
        assert_eq!(in_text("${file:pw}", folder.path()).unwrap(), "p@ss/w:rd");
        assert_eq!(in_url("${file:pw}", folder.path()).unwrap(), "p@ss/w:rd");
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_an_error() {
        let here = Path::new("/");
        assert_eq!(
            in_text("${env:HEADRACE_NO_SUCH_VARIABLE}", here).unwrap_err(),
            "the environment variable HEADRACE_NO_SUCH_VARIABLE is not set"
        );
        assert!(
            in_text("${file:no/such/file}", here)
                .unwrap_err()
                .starts_with("/no/such/file cannot be read")
        );
        assert!(in_text("${pw}", here).unwrap_err().contains("neither"));
        assert!(in_text("${env:A", here).is_err());
    }
}
