"""The settings of `conclave host`: one table for flags, environment and file, in that order."""

import argparse
from pathlib import Path

import pytest

from conference.host_config import config_of
from conference.host_settings import HOST
from conference.settings import SettingError, Values


def values(tmp_path: Path, flags: str = "", file: str | None = None, **environment: str) -> Values:
    parser = argparse.ArgumentParser()
    HOST.add_flags(parser)
    if file is not None:
        path = tmp_path / "conclave.toml"
        path.write_text(file)
        environment.setdefault("CONCLAVE_CONFIG", str(path))
    return HOST.values(parser.parse_args(flags.split()), environment)


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = "port = 1\nmedia_port = 1\nmax_meetings = 1\n"
    read = values(
        tmp_path, "--port 3", file, CONCLAVE_PORT="2", CONCLAVE_MEDIA_PORT="2", CONCLAVE_PASSPHRASE="x"
    )
    assert (read["port"], read["media_port"], read["max_meetings"]) == (3, 2, 1)
    assert read["address"] == "0.0.0.0"


EXAMPLES = {
    "address": ("127.0.0.1", '"127.0.0.1"'),
    "port": ("5", "5"),
    "media_port": ("6", "6"),
    "metrics": ("[::1]:9464", '"[::1]:9464"'),
    "log_level": ("debug", '"debug"'),
    "log_format": ("json", '"json"'),
    "report": ("json", '"json"'),
    "tls_self_signed": ("1", "true"),
    "in_memory": ("true", "true"),
    "log_addresses": ("yes", "true"),
}


@pytest.mark.parametrize("key", HOST.settings)
def test_every_setting_is_the_same_by_flag_environment_and_file(tmp_path: Path, key: str) -> None:
    setting = HOST.settings[key]
    is_number = setting.metavar == "N"
    text, toml = EXAMPLES.get(key, ("7", "7") if is_number else ("15m", '"15m"'))
    if setting.is_list:
        text, toml = "a,b", '["a", "b"]'
    by_environment = values(tmp_path, **{setting.variable: text})[key]
    by_file = values(tmp_path, file=f"{key} = {toml}")[key]
    assert by_environment == by_file != setting.default
    if setting.is_secret:
        assert f"--{setting.name} " not in argparse_help()
        assert setting.variable in HOST.epilog
        return
    flags = {True: f"--{setting.name}"}.get(setting.is_switch, f"--{setting.name} {text}")
    if setting.is_list:
        flags = f"--{setting.name} a --{setting.name} b"
    assert values(tmp_path, flags)[key] == by_file
    assert f"[{setting.variable}]" in argparse_help()


def argparse_help() -> str:
    parser = argparse.ArgumentParser(formatter_class=lambda prog: argparse.HelpFormatter(prog, width=400))
    HOST.add_flags(parser)
    return parser.format_help()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("prot = 1", "perhaps 'port' is meant"),
        ("whatever = 1", "no setting called 'whatever'"),
        ("port = 70000", "from 0 to 65535"),
        ("port = true", "expected a text or a number"),
        ("port = [1]", "expected a text or a number"),
        ("in_memory = 1", "expected true or false"),
        ("turn = 'x'", "expected a list"),
        ("log_level = 'loud'", "expected one of debug"),
        ("grace = 'soon'", "90s, 15m"),
        ("metrics = '9464'", "127.0.0.1:9464"),
        ("port = ", "is not a TOML file"),
        ("port = 1\nport = 2", "is not a TOML file"),
    ],
)
def test_what_a_file_cannot_say_is_named(tmp_path: Path, file: str, said: str) -> None:
    with pytest.raises(SettingError) as caught:
        values(tmp_path, file=file)
    assert said in str(caught.value)
    assert "conclave.toml" in str(caught.value)


def test_what_the_environment_cannot_say_is_named(tmp_path: Path) -> None:
    for variable, text in (("CONCLAVE_PORT", "x"), ("CONCLAVE_IN_MEMORY", "maybe"), ("CONCLAVE_GRACE", "0")):
        with pytest.raises(SettingError, match=variable):
            values(tmp_path, **{variable: text})
    with pytest.raises(SettingError, match=r"nowhere\.toml cannot be read: No such file"):
        values(tmp_path, CONCLAVE_CONFIG=str(tmp_path / "nowhere.toml"))


def test_secrets_come_from_files_or_the_environment_and_do_not_print(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct horse battery staple\n")
    config = config_of(
        values(
            tmp_path,
            f"--host-token-file {tmp_path / 'token'} --turn turn:192.0.2.1",
            CONCLAVE_TURN_SECRET="another secret word",
        )
    )
    assert config.host_token == "correct horse battery staple"
    assert config.relays.secret == "another secret word"
    assert "horse" not in repr(config)
    assert "secret word" not in repr(config)


@pytest.mark.parametrize(
    ("flags", "environment", "said"),
    [
        ("--host-token-file gone", {}, "host_token_file: gone cannot be read"),
        ("--host-token-file gone", {"CONCLAVE_HOST_TOKEN": "x" * 20}, "cannot be given both"),
        ("", {"CONCLAVE_HOST_TOKEN": "short"}, "needs 16 characters or more"),
        ("--in-memory --state file", {}, "state cannot be given with it"),
        ("--turn turn:192.0.2.1", {}, "needs the secret"),
        ("--turn https://turn.example", {}, "is not a turn:"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, flags: str, environment: dict[str, str], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        config_of(values(tmp_path, flags, **environment))


def test_meetings_are_kept_in_a_file_unless_the_port_is_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONCLAVE_HOME", str(tmp_path))
    assert config_of(values(tmp_path)).state == tmp_path / "meetings" / "8443.sqlite"
    assert config_of(values(tmp_path, "--port 0")).state is None
    assert config_of(values(tmp_path, "--in-memory")).state is None
    assert config_of(values(tmp_path, "--port 0 --state x.db")).state == Path("x.db")


def test_limits_are_what_was_set_and_else_the_servers_own(tmp_path: Path) -> None:
    limits = config_of(values(tmp_path, "--max-participants 12 --grace 1m --unjoined 2h")).limits
    assert (limits.participants, limits.grace_s, limits.unjoined_meeting_s) == (12, 60, 7200.0)
    assert limits.meetings == 4096
