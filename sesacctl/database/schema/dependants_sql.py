"""Queries on PostgreSQL's catalogues for `dependants`."""

# Catalogue, oid and depth of each dependant. Views have dependants of their own, and so have generated columns.
FIND = """
WITH RECURSIVE named(name, attribute, is_dropped) AS (
    SELECT pair[1], pair[2], false FROM (SELECT ARRAY(SELECT jsonb_array_elements_text(e)) AS pair
      FROM jsonb_array_elements(to_jsonb(%(retyped)s::text[])) AS e) AS retyped
    UNION ALL
    SELECT pair[1], pair[2], true FROM (SELECT ARRAY(SELECT jsonb_array_elements_text(e)) AS pair
      FROM jsonb_array_elements(to_jsonb(%(dropped)s::text[])) AS e) AS dropped
), altered AS (
    SELECT c.oid AS relid, coalesce(a.attnum, 0) AS attnum, is_dropped FROM named
      JOIN pg_class c ON c.oid = to_regclass(quote_ident(name)) AND c.relkind IN ('r', 'p')
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = attribute AND NOT a.attisdropped
     WHERE attribute = '' OR a.attnum IS NOT NULL
), gone AS (
    SELECT to_regclass(quote_ident(name))::oid AS relid FROM unnest(%(gone)s::text[]) AS name
), found(classid, objid, depth) AS (
    SELECT d.classid, d.objid, 1 FROM altered JOIN pg_depend d
        ON d.refclassid = 'pg_class'::regclass AND d.refobjid = relid
       AND CASE WHEN attnum = 0 THEN d.deptype = 'n' ELSE d.refobjsubid = attnum END
    UNION
    SELECT d.classid, d.objid, depth + 1 FROM found
      JOIN LATERAL (
        SELECT ev_class AS relid, 0 AS attnum FROM pg_rewrite
         WHERE classid = 'pg_rewrite'::regclass AND oid = objid AND rulename = '_RETURN'
        UNION ALL
        SELECT adrelid, adnum FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
         WHERE classid = 'pg_attrdef'::regclass AND pg_attrdef.oid = objid AND attgenerated <> ''
      ) AS made ON true
      JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = made.relid AND d.deptype = 'n'
       AND (made.attnum = 0 OR d.refobjsubid = made.attnum)
)
SELECT classid::regclass::text, objid, max(depth) FROM found
 WHERE classid IN ('pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass,
                   'pg_publication_rel'::regclass)
    OR (classid = 'pg_attrdef'::regclass AND EXISTS (
        SELECT FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
         WHERE pg_attrdef.oid = objid AND attgenerated <> '' AND adrelid NOT IN (SELECT relid FROM gone)
           AND (adrelid, adnum) NOT IN (SELECT relid, attnum FROM altered)))
    OR (classid = 'pg_constraint'::regclass AND EXISTS (
        SELECT FROM pg_constraint WHERE pg_constraint.oid = objid AND contype = 'f'
           AND confrelid IN (SELECT relid FROM gone) AND conrelid NOT IN (SELECT relid FROM gone)))
 GROUP BY 1, 2
"""

_TABLE = """(SELECT format('%%I.%%I', nspname, relname) FROM pg_class
   JOIN pg_namespace n ON n.oid = relnamespace WHERE pg_class.oid = {})"""
_ENABLED = """CASE {} WHEN 'D' THEN format(E'\\nALTER TABLE %%s DISABLE {what} %%I;', {table}, {name})
 WHEN 'A' THEN format(E'\\nALTER TABLE %%s ENABLE ALWAYS {what} %%I;', {table}, {name})
 WHEN 'R' THEN format(E'\\nALTER TABLE %%s ENABLE REPLICA {what} %%I;', {table}, {name}) ELSE '' END"""


def _enabled(column: str, what: str, table: str, name: str) -> str:
    return _ENABLED.format(column, what=what, table=table, name=name)


_VIEWS = f"""
SELECT r.oid, kind, name, format('DROP %%s %%s;', upper(kind), name), concat_ws(E'\\n',
    format(E'CREATE %%s %%s%%s AS\\n%%s%%s;', upper(kind), name,
           ' WITH (' || array_to_string(c.reloptions, ', ') || ')',
           rtrim(pg_get_viewdef(c.oid), ';'), CASE WHEN kind <> 'view' AND NOT relispopulated THEN ' WITH NO DATA' END),
    CASE WHEN pg_get_userbyid(relowner) <> current_user
         THEN format('ALTER %%s %%s OWNER TO %%I;', upper(kind), name, pg_get_userbyid(relowner)) END,
    'COMMENT ON ' || upper(kind) || ' ' || name || ' IS ' || quote_literal(said) || ';',
    (SELECT string_agg(pg_get_indexdef(indexrelid) || ';', E'\\n') FROM pg_index WHERE indrelid = c.oid),
    (SELECT string_agg(pg_get_triggerdef(t.oid) || ';', E'\\n') FROM pg_trigger t
      WHERE tgrelid = c.oid AND NOT tgisinternal),
    (SELECT string_agg(pg_get_ruledef(o.oid), E'\\n') FROM pg_rewrite o
      WHERE o.ev_class = c.oid AND o.rulename <> '_RETURN'),
    (SELECT string_agg(format('GRANT %%s ON %%s TO %%s%%s;', privilege_type, name,
            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
            CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), E'\\n')
       FROM aclexplode(c.relacl) WHERE grantee <> c.relowner))
  FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class
 CROSS JOIN LATERAL (SELECT CASE relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END AS kind,
                            {_TABLE.format("c.oid")} AS name, obj_description(c.oid, 'pg_class') AS said) AS about
 WHERE r.oid = ANY(%(oids)s::oid[]) AND rulename = '_RETURN'
"""
_RULES = f"""
SELECT r.oid, 'rule', format('%%I on %%s', rulename, name), format('DROP RULE %%I ON %%s;', rulename, name),
       pg_get_ruledef(r.oid) || {_enabled("ev_enabled", "RULE", "name", "rulename")}
  FROM pg_rewrite r CROSS JOIN LATERAL (SELECT {_TABLE.format("ev_class")} AS name) AS about
 WHERE r.oid = ANY(%(oids)s::oid[]) AND rulename <> '_RETURN'
   AND (SELECT relkind FROM pg_class WHERE pg_class.oid = ev_class) NOT IN ('v', 'm')
"""

DESCRIBE = {
    "pg_rewrite": f"{_VIEWS} UNION ALL {_RULES}",
    "pg_trigger": f"""
SELECT t.oid, 'trigger', format('%%I on %%s', tgname, name), format('DROP TRIGGER %%I ON %%s;', tgname, name),
       pg_get_triggerdef(t.oid) || ';' || {_enabled("tgenabled", "TRIGGER", "name", "tgname")}
  FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
 CROSS JOIN LATERAL (SELECT {_TABLE.format("tgrelid")} AS name) AS about
 WHERE t.oid = ANY(%(oids)s::oid[]) AND NOT tgisinternal AND relkind NOT IN ('v', 'm')
""",
    "pg_policy": f"""
SELECT p.oid, 'policy', format('%%I on %%s', polname, name), format('DROP POLICY %%I ON %%s;', polname, name),
       concat(format('CREATE POLICY %%I ON %%s AS %%s FOR %%s TO %%s', polname, name,
              CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
              CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
                          ELSE 'ALL' END,
              (SELECT string_agg(CASE member WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(member)) END, ', ')
                 FROM unnest(polroles) AS member)),
           ' USING (' || pg_get_expr(polqual, polrelid) || ')',
           ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')', ';')
  FROM pg_policy p CROSS JOIN LATERAL (SELECT {_TABLE.format("polrelid")} AS name) AS about
 WHERE p.oid = ANY(%(oids)s::oid[])
""",
    "pg_attrdef": f"""
SELECT d.oid, 'generated column', format('%%s.%%I', name, attname),
       format('ALTER TABLE %%s DROP COLUMN %%I;', name, attname),
       concat_ws(E'\\n', format('ALTER TABLE %%s ADD COLUMN %%I %%s GENERATED ALWAYS AS (%%s) %%s%%s;', name, attname,
              format_type(atttypid, atttypmod), pg_get_expr(adbin, adrelid),
              CASE attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END,
              CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END),
          (SELECT string_agg(pg_get_indexdef(indexrelid) || ';', E'\\n') FROM pg_index
            WHERE indrelid = adrelid AND adnum = ANY(indkey)))
  FROM pg_attrdef d JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
 CROSS JOIN LATERAL (SELECT {_TABLE.format("adrelid")} AS name) AS about
 WHERE d.oid = ANY(%(oids)s::oid[])
""",
    "pg_publication_rel": f"""
SELECT r.oid, 'publication', format('%%I with %%s', pubname, name),
       format('ALTER PUBLICATION %%I DROP TABLE %%s;', pubname, name),
       concat(format('ALTER PUBLICATION %%I ADD TABLE %%s', pubname, name),
              ' (' || (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                        WHERE attrelid = prrelid AND attnum = ANY(prattrs)) || ')',
              ' WHERE (' || pg_get_expr(prqual, prrelid) || ')', ';')
  FROM pg_publication_rel r JOIN pg_publication p ON p.oid = prpubid
 CROSS JOIN LATERAL (SELECT {_TABLE.format("prrelid")} AS name) AS about
 WHERE r.oid = ANY(%(oids)s::oid[])
""",
    "pg_proc": """
SELECT oid, 'function', oid::regprocedure::text,
       format('DROP %%s %%s;', CASE prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, oid::regprocedure),
       pg_get_functiondef(oid) || ';'
  FROM pg_proc WHERE oid = ANY(%(oids)s::oid[])
""",
    "pg_constraint": f"""
SELECT c.oid, 'foreign key', format('%%I on %%s', conname, name),
       format('ALTER TABLE %%s DROP CONSTRAINT %%I;', name, conname),
       format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s;', name, conname, pg_get_constraintdef(c.oid))
  FROM pg_constraint c CROSS JOIN LATERAL (SELECT {_TABLE.format("conrelid")} AS name) AS about
 WHERE c.oid = ANY(%(oids)s::oid[])
""",
}
