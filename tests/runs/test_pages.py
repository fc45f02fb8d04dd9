"""``mammogan ui``: the page of a run, in the browser where there is one, of a server or of a folder that is served."""

import socket

import pytest

from mammogan import tracking
from mammogan.launch import browser, ui
from mammogan.tracking import links


class TestMlflowsPages:
    """``mammogan ui``: the page of a run, in the browser where there is one."""

    @pytest.fixture
    def started(self, monkeypatch):
        done = []
        monkeypatch.setattr(ui.os, "execv", lambda _, words: done.append(list(words[3:])))
        monkeypatch.setattr(ui.subprocess, "Popen", lambda words: done.append(words[1:]))
        monkeypatch.setattr(ui.webbrowser, "open", lambda page: done.append(page))
        monkeypatch.setattr(ui, "_require_free", lambda port: None)
        monkeypatch.setattr(tracking, "find_run", lambda name, _: {"latest": "a"}[name])
        monkeypatch.setattr(links, "fragment", lambda run_id, _: f"#/experiments/1/runs/{run_id}")
        return done

    def test_a_folder_is_served_and_opened(self, started, monkeypatch, capsys):
        address = "sqlite:////runs/mlflow.db"
        monkeypatch.setattr(browser, "has_window", lambda: True)
        ui.open_run("latest", address, 5001)
        (opener, served) = started
        page = opener[-1]
        assert page == "http://127.0.0.1:5001/#/experiments/1/runs/a"
        assert served == ["ui", "--backend-store-uri", address, "--host", "127.0.0.1", "--port", "5001"]
        assert f"MLflow: {page} " in capsys.readouterr().err

    @pytest.mark.parametrize(("wanted", "window"), [(False, True), (True, False)])
    def test_no_browser_is_opened_where_none_is_wanted_or_there(self, started, monkeypatch, wanted, window):
        monkeypatch.setattr(browser, "has_window", lambda: window)
        ui.open_run("latest", "sqlite:////runs/mlflow.db", 5001, browser=wanted)
        assert [words[0] for words in started] == ["ui"]

    def test_a_server_is_not_served_again(self, started, monkeypatch):
        monkeypatch.setattr(browser, "has_window", lambda: True)
        ui.open_run("latest", "https://me:pw@mlflow.example.org", 5001)
        assert started == ["https://mlflow.example.org/#/experiments/1/runs/a"]

    def test_a_browser_of_the_terminal_is_no_window(self, monkeypatch):
        monkeypatch.delenv("BROWSER", raising=False)
        monkeypatch.setattr(browser.webbrowser, "get", lambda: browser.webbrowser.GenericBrowser("lynx"))
        assert not browser.has_window()
        monkeypatch.setenv("BROWSER", "mine")
        assert browser.has_window(), "a person's choice"
        monkeypatch.delenv("BROWSER")
        monkeypatch.setattr(browser.webbrowser, "get", lambda: browser.webbrowser.BackgroundBrowser("firefox"))
        assert browser.has_window()

    def test_the_page_is_opened_once_its_server_answers(self, monkeypatch):
        opened = []
        monkeypatch.setattr(browser.webbrowser, "open", lambda page: opened.append(page) or True)
        monkeypatch.setattr(browser, "WAIT_S", 0.5)
        with socket.socket() as server:
            server.bind((ui.HOST, 0))
            page = f"http://{ui.HOST}:{server.getsockname()[1]}/#/experiments/1"
            assert not browser.open_when_up(page)
            server.listen()
            assert browser.open_when_up(page)
        assert opened == [page]

    def test_a_server_that_only_pods_reach_is_told_with_its_command(self, started, monkeypatch, capsys):
        monkeypatch.setattr(browser, "has_window", lambda: True)
        ui.open_run("latest", "http://mlflow.mammogan.svc.cluster.local:5000", 5001)
        assert started == []
        assert "(while `kubectl port-forward " in capsys.readouterr().err
