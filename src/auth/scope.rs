//! Grants of a `scope` claim (RFC 8693, 4.2): words between spaces, such as
//! `publish:orders.* read:orders.* group:billing-* admin`.
//!
//! Other words are other systems' and are passed over: an identity provider puts
//! `openid` and `profile` into the same claim.

use super::{
    grant::{Action, Grant},
    pattern::Pattern,
    rights::Remark,
};

/// The grants of a scope, and what was not understood of it.
pub(super) fn grants(scope: &str) -> (Vec<Grant>, Vec<Remark>) {
    let (mut grants, mut remarks) = (vec![], vec![]);
    for word in scope.split(' ').filter(|word| !word.is_empty()) {
        match grant(word) {
            Ok(grant) => grants.extend(grant),
            Err(why) => remarks.push(Remark::new(&format!("scope word '{word}'"), why)),
        }
    }
    (grants, remarks)
}

fn grant(word: &str) -> Result<Option<Grant>, String> {
    let (action, pattern) = match word.split_once(':') {
        Some((action, pattern)) => (action, Some(pattern)),
        None => (word, None),
    };
    let Some(action) = Action::of(action) else { return Ok(None) };
    let gateway = action == Action::Admin && pattern.is_none();
    let pattern = match pattern {
        Some(pattern) => Pattern::new(pattern),
        None if gateway => Pattern::new(Pattern::ANY),
        None => return Err(format!("it does not say on what: '{action}:**' is on everything")),
    };
    let pattern = pattern.map_err(|error| error.to_string())?;
    let topics = if action == Action::Group { vec![] } else { vec![pattern.clone()] };
    let of_groups = matches!(action, Action::Group | Action::Admin);
    let groups = if of_groups { vec![pattern] } else { vec![] };
    let origin = word.to_owned();
    Ok(Some(Grant { origin, actions: vec![action], topics, groups, keys: None, gateway }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(word: &str) -> Grant {
        let (mut grants, remarks) = grants(word);
        assert_eq!((grants.len(), remarks.len()), (1, 0), "{word}");
        grants.remove(0)
    }

    #[test]
    fn a_word_is_an_action_and_a_pattern() {
        let read = one("read:orders.*");
        assert!(read.allows(Action::Read) && !read.allows(Action::Publish));
        assert!(read.is_for_topic("orders.eu") && !read.is_for_topic("orders"));
        assert!(!read.is_for_group("orders.eu") && !read.gateway);
        let group = one("group:billing-*");
        assert!(group.is_for_group("billing-1") && !group.is_for_topic("billing-1"));
    }

    #[test]
    fn admin_alone_is_for_everything_and_with_a_name_for_what_has_it() {
        let all = one("admin");
        assert!(all.gateway && all.is_for_topic("a.b") && all.is_for_group("a.b"));
        let some = one("admin:orders.**");
        assert!(!some.gateway && some.is_for_topic("orders.eu") && !some.is_for_topic("pay"));
    }

    #[test]
    fn words_of_others_are_passed_over_and_ours_are_remarked_on() {
        let (grants, remarks) = grants(" openid  profile read publish:a***b read:x Read:y ");
        assert_eq!(grants.iter().map(|g| &*g.origin).collect::<Vec<_>>(), ["read:x"]);
        let about: Vec<_> = remarks.iter().map(Remark::to_string).collect();
        assert_eq!(about.len(), 2, "{about:?}");
        assert!(about[0].contains("'read'") && about[1].contains("'***'"), "{about:?}");
    }
}
