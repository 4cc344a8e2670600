"""Example tools, each a factory that returns real LangChain tools for a graph behind a gate.

- `files.file_tools`: list, read, write, move and delete inside one directory
- `sql.sql_tools`: one read-only query, or one changing statement, on a Postgres database
- `mail.mail_tools`: send one mail to one recipient over SMTP
- `http.http_tools`: GET and POST to public addresses
- `shell.shell_tools`: run one of a few allowed programs, without a shell
- `order_desk.order_desk_tools`: look up, refund, cancel and readdress the orders of a small shop

Arguments are taken as hostile. What the model should know about a failure is raised as
`langchain_core.tools.ToolException`.
"""
