/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Completion for shells, made from the table of commands. What is there to be named is asked of the
 * daemon when it is completed, for two seconds at most; nothing that it says is evaluated.
 */
#include <stdio.h>
#include <string.h>

#include "clusterd/cli/cli.h"
#include "lib/must.h"

/* Where names come from. */
struct source {
	const char *name, *command, *pattern;
};

static const struct source sources[] = {
	{"agent", "agent list --fields name", "*"},
	{"checkpoint", "config checkpoint-list --fields name", "*"},
	{"fence", "fence list --fields name", "*"},
	{"fence-agent", "agent list --fields path", "*/fence_*"},
	{"group", "group list --fields name", "*"},
	{"node", "node list --fields name", "*"},
	{"resource", "resource list --fields name", "*"},
	{"resource-agent", "agent list --fields name", "ocf:*"},
	{"task", "task list --fields id", "*"},
	{"vm", "vm list --fields name", "*"},
	{"volume", "volume list --fields name", "*"},
};

/*
 * What an argument takes; the first that fits. NULL fits all; source NULL: nothing is offered, as
 * for arguments that no line is about; words instead of a source: these.
 */
struct rule {
	const char *noun, *verb, *argument, *source, *words;
};

static const struct rule rules[] = {
	{"node", "add", "name", NULL, NULL},
	{"config", "checkpoint-create", "name", NULL, NULL},
	{"config", NULL, "name", "checkpoint", NULL},
	{"config", NULL, "checkpoint", "checkpoint", NULL},
	{"config", NULL, "from", "checkpoint", NULL},
	{"config", NULL, "to", "checkpoint", NULL},
	{NULL, "create", "name", NULL, NULL},
	{"fence", "run", "name", "node", NULL},
	{"agent", NULL, "name", "agent", NULL},
	{"fence", NULL, "name", "fence", NULL},
	{"group", NULL, "name", "group", NULL},
	{"node", NULL, "name", "node", NULL},
	{"resource", NULL, "name", "resource", NULL},
	{"vm", NULL, "name", "vm", NULL},
	{"volume", NULL, "name", "volume", NULL},
	{"task", NULL, "id", "task", NULL},
	{"fence", "create", "agent", "fence-agent", NULL},
	{"resource", "create", "agent", "resource-agent", NULL},
	{NULL, NULL, "group", "group", NULL},
	{NULL, NULL, "nodes", "node", NULL},
	{NULL, NULL, "to", "node", NULL},
	{NULL, NULL, "volumes", "volume", NULL},
	{NULL, NULL, "device", "file", NULL},
	{NULL, NULL, "dynamic", NULL, "on off"},
	{NULL, NULL, "on-stop-failure", NULL, "fence block"},
};

static const struct rule *rule_of(const struct command *c, const char *argument, size_t len)
{
	for (size_t i = 0; i < MUST_ARRAY_SIZE(rules); i++) {
		const struct rule *r = &rules[i];

		if ((!r->noun || !strcmp(r->noun, c->noun)) &&
		    (!r->verb || !strcmp(r->verb, c->verb)) && strlen(r->argument) == len &&
		    !memcmp(r->argument, argument, len))
			return r;
	}
	return NULL;
}

static bool has_source(const struct rule *r)
{
	return r && r->source;
}

/* ---- tables of the script */

static void print_nouns(void)
{
	printf("_clusterctl_nouns='");
	for (size_t i = 0; i < command_count; i++) {
		if (!i || strcmp(commands[i].noun, commands[i - 1].noun) != 0)
			printf("%s ", commands[i].noun);
	}
	for (size_t i = 0; i < cli_alias_count; i++)
		printf("%s%s", cli_aliases[i].word, i + 1 < cli_alias_count ? " " : "");
	printf("'\n\n_clusterctl_alias()\n{\n\tcase $1 in\n");
	for (size_t i = 0; i < cli_alias_count; i++)
		printf("\t%s) noun=%s verb=%s ;;\n", cli_aliases[i].word, cli_aliases[i].noun,
		       cli_aliases[i].verb);
	printf("\tesac\n}\n\n");
}

static void print_verbs(void)
{
	printf("_clusterctl_verbs()\n{\n\tcase $1 in\n");
	for (size_t i = 0; i < command_count; i++) {
		bool is_first = !i || strcmp(commands[i].noun, commands[i - 1].noun) != 0;
		bool is_last = i + 1 == command_count ||
			       strcmp(commands[i].noun, commands[i + 1].noun) != 0;

		if (is_first)
			printf("\t%s) echo '", commands[i].noun);
		printf("%s%s", commands[i].verb, is_last ? "' ;;\n" : " ");
	}
	printf("\tesac\n}\n\n");
}

/* The options in the lines of --help; those of which `takes_value` is so. */
static void print_globals(bool takes_value)
{
	const char *line = cli_global_help;

	while ((line = strstr(line, "\n  --"))) {
		size_t end;

		line += strlen("\n  ");
		for (;;) { /* "--help, --version" */
			size_t len = 2 + strspn(line + 2, "abcdefghijklmnopqrstuvwxyz-");
			bool has_value =
				line[len] == ' ' && line[len + 1] >= 'A' && line[len + 1] <= 'Z';

			if (has_value == takes_value)
				printf(" %.*s", (int)len, line);
			line += len;
			end = strspn(line, ", ");
			if (line[0] != ',')
				break;
			line += end;
		}
	}
}

/* Options of commands that take no value. */
static void print_bare(void)
{
	for (size_t i = 0; i < command_count; i++) {
		const char *at = commands[i].options;
		struct cli_option o;

		while ((at = cli_next_option(at, &o))) {
			if (!strcmp(o.type, "flag"))
				printf(" --%s", o.name);
		}
	}
}

static void print_options(void)
{
	printf("_clusterctl_options()\n{\n\tcase $1 in\n");
	for (size_t i = 0; i < command_count; i++) {
		const char *at = commands[i].options;
		struct cli_option o;

		if (!at[0])
			continue;
		printf("\t'%s %s') echo '", commands[i].noun, commands[i].verb);
		while ((at = cli_next_option(at, &o)))
			printf("--%s%s", o.name, *at ? " " : "");
		printf("' ;;\n");
	}
	printf("\tesac\n}\n\n_clusterctl_flags='");
	print_globals(false);
	printf("'\n_clusterctl_bare='");
	print_bare();
	printf("'\n_clusterctl_valued='");
	print_globals(true);
	printf("'\n\n");
}

static void print_option_rule(const struct command *c, const struct cli_option *o)
{
	const struct rule *r = rule_of(c, o->name, strlen(o->name));
	bool is_list = !strcmp(o->type, "list"),
	     is_file = !strcmp(o->type, "document") || !strcmp(o->type, "secret");

	if (!is_file && !has_source(r) && !(r && r->words))
		return;
	printf("\t'%s %s --%s') ", c->noun, c->verb, o->name);
	if (is_file || has_source(r))
		printf("source=%s", is_file ? "file" : r->source);
	else
		printf("candidates='%s'", r->words);
	printf("%s ;;\n", is_list ? " is_list=1" : "");
}

/* What follows an option, or stands as the Nth name ("noun verb N"). */
static void print_arguments(void)
{
	printf("_clusterctl_argument()\n{\n\tcase $1 in\n");
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &commands[i];
		const char *at = c->options, *p = c->positionals;
		struct cli_option o;

		for (int n = 0; *p; n++) {
			size_t len = strcspn(p, " ");
			const struct rule *r = rule_of(c, p, len);
			bool is_list = len == strlen("nodes") && !memcmp(p, "nodes", len);

			if (has_source(r))
				printf("\t'%s %s %d') source=%s%s ;;\n", c->noun, c->verb, n,
				       r->source, is_list ? " is_list=1" : "");
			p += len + strspn(p + len, " ");
		}
		while ((at = cli_next_option(at, &o)))
			print_option_rule(c, &o);
		if (c->columns[0]) {
			printf("\t'%s %s --fields') is_list=1 candidates='", c->noun, c->verb);
			for (const char *k = c->columns; *k; k++)
				putchar(*k == ',' ? ' ' : *k);
			printf("' ;;\n");
		}
	}
	printf("\t*' --root') source=folder ;;\n\tesac\n}\n\n");
}

static void print_sources(void)
{
	printf("# The names that there are, one a line.\n"
	       "_clusterctl_ask() # source, program, --root and its value or nothing\n{\n"
	       "\tlocal source=$1 name pattern='*' command\n\tshift\n\tcase $source in\n");
	for (size_t i = 0; i < MUST_ARRAY_SIZE(sources); i++)
		printf("\t%s) command='%s' pattern='%s' ;;\n", sources[i].name, sources[i].command,
		       sources[i].pattern);
	printf("\t*) return ;;\n\tesac\n"
	       "\twhile read -r name; do\n"
	       "\t\t[[ $name == $pattern ]] && echo \"$name\"\n"
	       "\tdone < <(timeout 3 \"$1\" $command \"${@:2}\" --no-headers --timeout 2 "
	       "2>/dev/null </dev/null)\n}\n\n");
}

/* ---- what is the same for every table */

static const char script_words[] =
	"# Words before the one that is completed: sets noun, verb, option, given, options, root.\n"
	"_clusterctl_before()\n"
	"{\n"
	"\tlocal word\n"
	"\n"
	"\tfor word in \"$@\"; do\n"
	"\t\tif [[ $option ]]; then\n"
	"\t\t\t[[ $option == --root ]] && root=(--root \"$word\")\n"
	"\t\t\toption=\n"
	"\t\telif [[ $word == --root=* ]]; then\n"
	"\t\t\troot=(\"$word\")\n"
	"\t\telif [[ $word == --* ]]; then\n"
	"\t\t\toptions+=\" ${word%%=*} \"\n"
	"\t\t\t[[ $word == *=* || \" $_clusterctl_flags $_clusterctl_bare \" == *\" $word \"* ]] "
	"||\n"
	"\t\t\t\toption=$word\n"
	"\t\telif [[ ! $noun ]]; then\n"
	"\t\t\tnoun=$word\n"
	"\t\t\t_clusterctl_alias \"$word\"\n"
	"\t\telif [[ ! $verb ]]; then\n"
	"\t\t\tverb=$word\n"
	"\t\telse\n"
	"\t\t\tgiven=$((given + 1))\n"
	"\t\tfi\n"
	"\tdone\n"
	"}\n"
	"\n"
	"# Options that the command has and the line has not; --param and --priority come again.\n"
	"_clusterctl_missing()\n"
	"{\n"
	"\tlocal word\n"
	"\n"
	"\tfor word in $(_clusterctl_options \"$noun $verb\") $1; do\n"
	"\t\t[[ $options == *\" $word \"* && $word != --param && $word != --priority ]] ||\n"
	"\t\t\tcandidates+=\" $word\"\n"
	"\tdone\n"
	"}\n"
	"\n";

static const char script_reply[] =
	"# COMPREPLY: the candidates, or the answer of the source, that begin with the value.\n"
	"_clusterctl_reply() # program\n"
	"{\n"
	"\tlocal name\n"
	"\n"
	"\tif [[ $is_list ]]; then\n"
	"\t\t[[ $value == *,* ]] && before+=\"${value%,*},\"\n"
	"\t\tvalue=${value##*,}\n"
	"\t\tcompopt -o nospace 2>/dev/null\n"
	"\tfi\n"
	"\tcase $source in\n"
	"\t'') ;;\n"
	"\tfile | folder)\n"
	"\t\tcompopt -o filenames 2>/dev/null\n"
	"\t\tmapfile -t COMPREPLY < <(compgen -A \"${source/folder/directory}\" -- \"$value\")\n"
	"\t\tCOMPREPLY=(\"${COMPREPLY[@]/#/$before}\")\n"
	"\t\t;;\n"
	"\t*) candidates=$(_clusterctl_ask \"$source\" \"$1\" \"${root[@]}\") ;;\n"
	"\tesac\n"
	"\twhile read -r name; do\n"
	"\t\t[[ $name && $name == \"$value\"* ]] && COMPREPLY+=(\"$before$name\")\n"
	"\tdone <<<\"${candidates// /$'\\n'}\"\n"
	"}\n"
	"\n";

static const char script_main[] =
	"_clusterctl()\n"
	"{\n"
	"\tlocal IFS=$' \\t\\n' line=${COMP_LINE:0:COMP_POINT} cur value before= source= "
	"candidates=\n"
	"\tlocal noun= verb= option= options= given=0 is_list= breaks= head=\n"
	"\tlocal -a words root=()\n"
	"\n"
	"\tCOMPREPLY=()\n"
	"\t# Words as clusterctl has them: those of bash end at each ':' and '=', too.\n"
	"\tread -r -a words <<<\"$line\"\n"
	"\t[[ $line == *[[:space:]] ]] && words+=(\"\")\n"
	"\t((${#words[@]} > 1)) || return\n"
	"\tcur=${words[-1]} value=$cur\n"
	"\t_clusterctl_before \"${words[@]:1:${#words[@]}-2}\"\n"
	"\tif [[ ! $option && $cur == --*=* ]]; then\n"
	"\t\toption=${cur%%=*} value=${cur#*=} before=$option=\n"
	"\tfi\n"
	"\tif [[ $option ]]; then\n"
	"\t\t_clusterctl_argument \"$noun $verb $option\"\n"
	"\telif [[ ! $noun ]]; then\n"
	"\t\tcandidates=\"$_clusterctl_nouns --help --version\"\n"
	"\telif [[ ! $verb ]]; then\n"
	"\t\tcandidates=\"$(_clusterctl_verbs \"$noun\") --help\"\n"
	"\telif [[ $cur == -* ]]; then\n"
	"\t\t_clusterctl_missing \"$_clusterctl_flags $_clusterctl_valued\"\n"
	"\telse\n"
	"\t\t_clusterctl_argument \"$noun $verb $given\"\n"
	"\t\t[[ $source || $cur ]] || _clusterctl_missing ''\n"
	"\tfi\n"
	"\t_clusterctl_reply \"$1\"\n"
	"\t# Bash puts the reply behind the last character that ends its words.\n"
	"\t[[ $COMP_WORDBREAKS == *:* ]] && breaks+=:\n"
	"\t[[ $COMP_WORDBREAKS == *=* ]] && breaks+==\n"
	"\t[[ $breaks ]] && head=${cur%\"${cur##*[$breaks]}\"}\n"
	"\tCOMPREPLY=(\"${COMPREPLY[@]#\"$head\"}\")\n"
	"}\n"
	"\n"
	"complete -F _clusterctl clusterctl\n";

/*
 * The other shells hand the line to bash's script, whose words end at blanks then: one set of
 * rules, and a bash is on every Debian. Without a quote inside, so that both can quote it alike.
 */
#define ASK_BASH                                                                                   \
	"bash --norc --noprofile -c 'source <(\"$1\" completion bash) || exit; "                   \
	"printf -v COMP_WORDBREAKS \" \\t\\n\"; COMP_LINE=$2 COMP_POINT=${#2}; "                   \
	"_clusterctl \"$1\"; printf \"%%s\\n\" \"${COMPREPLY[@]}\"' bash"

static void print_zsh(void)
{
	printf("#compdef clusterctl\n"
	       "# zsh completion of clusterctl(8): what 'clusterctl completion zsh' prints.\n\n"
	       "_clusterctl()\n"
	       "{\n"
	       "\tlocal line=\"${(j: :)words[1,CURRENT-1]} $PREFIX\"\n"
	       "\tlocal -a found\n"
	       "\n"
	       "\tfound=(\"${(@f)$(" ASK_BASH " \"$words[1]\" \"$line\" 2>/dev/null)}\")\n"
	       "\tfound=(${found:#})\n"
	       "\tcompadd -Q -- $found\n"
	       "}\n"
	       "\n"
	       "# Read from the folder of completions it is the function, sourced it says so.\n"
	       "if [[ $funcstack[1] == _clusterctl ]]; then\n"
	       "\t_clusterctl\n"
	       "else\n"
	       "\tcompdef _clusterctl clusterctl\n"
	       "fi\n");
}

static void print_fish(void)
{
	printf("# fish completion of clusterctl(8): what 'clusterctl completion fish' prints.\n\n"
	       "function __clusterctl_words\n"
	       "\tset -l words (commandline -opc)\n"
	       "\t" ASK_BASH " $words[1] (commandline -cp) 2>/dev/null\n"
	       "end\n"
	       "\n"
	       "complete -c clusterctl -f -a '(__clusterctl_words)'\n");
}

static void print_bash(void)
{
	printf("# bash completion of clusterctl(8): what 'clusterctl completion bash' prints.\n\n");
	print_nouns();
	print_verbs();
	print_options();
	print_arguments();
	print_sources();
	printf("%s%s%s", script_words, script_reply, script_main);
}

void completion_print(const char *shell)
{
	if (!strcmp(shell, "zsh"))
		print_zsh();
	else if (!strcmp(shell, "fish"))
		print_fish();
	else
		print_bash();
}
