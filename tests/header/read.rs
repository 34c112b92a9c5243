//! Reads functions and their comments back from the header.

pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) returns: String,
    pub(crate) parameters: Vec<String>,
    /// On one line, without the comment.
    pub(crate) declaration: String,
    doc: Vec<String>,
}

impl Function {
    pub(crate) fn has(&self, start: &str) -> bool {
        self.doc.iter().any(|line| line.starts_with(start))
    }

    fn second_words(&self, first: &str) -> Vec<&str> {
        let words = self.doc.iter().filter_map(|line| line.strip_prefix(first)?.split_whitespace().next());
        words.collect()
    }

    pub(crate) fn documented_parameters(&self) -> Vec<String> {
        self.second_words("@param ").into_iter().map(str::to_owned).collect()
    }

    pub(crate) fn listed_statuses(&self) -> Vec<&str> {
        self.second_words("@retval ")
    }

    /// A node, queue or process: what a fork makes unusable.
    pub(crate) fn takes_a_handle(&self) -> bool {
        let handles = ["convoke_node *", "convoke_queue *", "convoke_process *"];
        handles.iter().any(|handle| self.declaration.contains(handle))
    }
}

/// Every function that the header declares.
pub(crate) fn functions(header: &str) -> Vec<Function> {
    let mut found = Vec::new();
    let mut doc: Vec<String> = Vec::new();
    let mut lines = header.lines();
    while let Some(line) = lines.next() {
        if line == "/**" {
            let block = lines.by_ref().take_while(|line| line.trim() != "*/");
            doc = block.map(|line| line.trim().trim_start_matches('*').trim().to_owned()).collect();
        } else if line.starts_with("CONVOKE_API") || line.starts_with("CONVOKE_MUST_USE") {
            let mut declaration = line.trim().to_owned();
            while !declaration.ends_with(';') {
                let next = lines.next().expect("a declaration ends").trim();
                declaration = format!("{declaration} {next}");
            }
            found.push(function(declaration, std::mem::take(&mut doc)));
        }
    }
    found
}

fn function(declaration: String, doc: Vec<String>) -> Function {
    let (head, rest) = declaration.split_once('(').expect("a function");
    let inside = rest.trim_end_matches(';').trim().trim_end_matches(')');
    let parameters = inside.split(',').map(|parameter| last_word(parameter).to_owned());
    let parameters = if inside.trim() == "void" { Vec::new() } else { parameters.collect() };
    let name = last_word(head).to_owned();
    let returns = head.trim_end_matches(&name).replace("CONVOKE_API", "").replace("CONVOKE_MUST_USE", "");
    let returns = returns.trim().to_owned();
    Function { name, returns, parameters, declaration, doc }
}

fn last_word(text: &str) -> &str {
    let text = text.trim();
    let start = text.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    &text[start..]
}

pub(crate) fn without_comments(header: &str) -> String {
    let mut code = String::new();
    let mut rest = header;
    while let Some((before, after)) = rest.split_once("/*") {
        code.push_str(before);
        rest = after.split_once("*/").expect("a comment ends").1;
    }
    code + rest
}
